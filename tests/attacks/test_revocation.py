"""ATTACKS.md, group "Revocation and its races", on one process: every test is named by its row."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from secrets import token_hex
from typing import Any

import pytest

from tests.attacks.cast import ISSUER, PASSWORDS, token
from tests.attacks.wire import CLOSE, Wire, ask, frame, request, wire
from tests.servers import SERVERS, Running
from wsauth.core.feed import Row, RowKind, pair_key
from wsauth.core.identity import Identity
from wsauth.services.connections.revocations import Revocations

everywhere = pytest.mark.parametrize("target", SERVERS, indirect=True)
SPEAKS = "Sec-WebSocket-Protocol: wsauth.v1"


def somebody() -> str:
    """Return a subject of this test's own: what is revoked here stays revoked in the process."""
    return f"alice-{token_hex(4)}"


def bearer(subject: str, **claims: Any) -> bytes:
    """Return a handshake with a good token."""
    return request("/ws", f"Authorization: Bearer {token(subject, **claims)}")


async def revoke(target: Running, **what: str) -> Any:
    """Revoke, and return the report."""
    return await ask(target.port, "revoke", **what)


async def is_open(found: Wire, subject: str) -> bool:
    """Tell whether the connection is this subject's."""
    found.send(frame("hi"))
    return await found.text() == f"{subject}: hi"


@everywhere
async def test_rv_01_a_revocation_during_the_handshake_wins(target: Running) -> None:
    """A token revoked between its verification's begin and its end opens nothing, by handshake or by message."""
    secret = f"odd-slow-0.{token_hex(4).translate(str.maketrans('abcdef', '123456'))}"
    async with (
        wire(target.port, request("/ws", f"Authorization: Bearer {secret}")) as first,
        wire(target.port, request("/ws")) as second,
    ):
        assert (await second.answer()).status == 101
        await second.message("auth_required")
        second.send(frame(json.dumps({"type": "auth", "token": secret})))
        await revoke(target, token_id=secret, issuer=ISSUER)
        assert (await second.message("auth_error"))["code"] == "token_revoked"
        answer = await first.answer()
        if answer.status == 101:
            assert target.server == "daphne"
            assert (await first.closed()).reason == "token_revoked"
        else:
            assert (answer.status, answer.code) == (401, "token_revoked")


@everywhere
async def test_rv_02_a_handler_that_finishes_after_the_revocation_says_nothing(target: Running) -> None:
    """What a slow handler answers after the revocation is not delivered, nor is the next message read."""
    subject, secret = somebody(), f"never {token_hex(4)}"
    async with wire(target.port, bearer(subject)) as mallory:
        assert (await mallory.answer()).status == 101
        assert await is_open(mallory, subject)
        mallory.send(frame("wait 0.5"))
        await asyncio.sleep(0.1)
        report = await revoke(target, subject=subject, issuer=ISSUER)
        assert (report["matched"], report["complete"]) == (1, True)
        mallory.send(frame(secret))
        end = await mallory.frame()
        assert end is not None
        assert (end.opcode, end.close_code, end.reason) == (CLOSE, 3000, "token_revoked")
        assert await mallory.ended()
    assert secret not in await ask(target.port, "delivered")


@everywhere
async def test_rv_03_every_connection_of_the_subject_ends_and_no_other(target: Running) -> None:
    """Five sockets of hers end within a second; Bob's and her namesake's of another issuer stay."""
    subject = somebody()
    async with AsyncExitStack() as stack:
        hers = [await stack.enter_async_context(wire(target.port, bearer(subject))) for _ in range(5)]
        bob = await stack.enter_async_context(wire(target.port, bearer("bob")))
        for found in (*hers, bob):
            assert (await found.answer()).status == 101
        began = time.monotonic()
        assert (await revoke(target, subject=subject, issuer=ISSUER))["matched"] == 5
        for found in hers:
            assert (await found.closed()).reason == "token_revoked"
        assert time.monotonic() - began < 1
        assert await is_open(bob, "bob")


async def test_rv_06_a_renewal_beside_a_revocation_never_survives_it(target: Running) -> None:
    """However renewal and revocation interleave, nothing of hers is open afterwards and nothing opens."""
    for round_ in range(30):
        subject = somebody()
        now = int(time.time())
        async with wire(
            target.port, request("/ws", f"{SPEAKS}, wsauth.bearer.{token(subject, iat=now - 9)}")
        ) as mallory:
            assert (await mallory.answer()).status == 101
            await mallory.message("auth_success")
            renewal = frame(json.dumps({"type": "auth", "token": token(subject, iat=now)}))
            revoking = asyncio.ensure_future(revoke(target, subject=subject, issuer=ISSUER))
            await asyncio.sleep(round_ / 10_000)
            mallory.send(renewal)
            await revoking
            assert (await mallory.closed()).reason == "token_revoked"
        async with wire(target.port, bearer(subject, iat=now)) as mallory:
            assert (await mallory.answer()).code == "token_revoked"


async def test_rv_09_no_cache_answers_for_a_revoked_token(target: Running) -> None:
    """A token that was found good a moment ago is refused after its revocation, by every source."""
    subject, identifier = somebody(), token_hex(8)
    good = token(subject, jti=identifier)
    for _ in range(2):
        async with wire(target.port, request("/ws", f"Authorization: Bearer {good}")) as alice:
            assert (await alice.answer()).status == 101
    await revoke(target, token_id=identifier, issuer=ISSUER)
    async with wire(target.port, request("/ws", f"Authorization: Bearer {good}")) as mallory:
        assert (await mallory.answer()).code == "token_revoked"
    async with wire(target.port, request("/ws", f"{SPEAKS}, wsauth.bearer.{good}")) as mallory:
        assert (await mallory.answer()).code == "token_revoked"
    async with wire(target.port, request("/ws")) as mallory:
        await mallory.answer()
        await mallory.message("auth_required")
        mallory.send(frame(json.dumps({"type": "auth", "token": good})))
        assert (await mallory.message("auth_error"))["code"] == "token_revoked"


async def test_rv_09_one_revoked_token_is_not_the_next_one(target: Running) -> None:
    """Another token of the same subject is as good as it was."""
    subject, identifier = somebody(), token_hex(8)
    await revoke(target, token_id=identifier, issuer=ISSUER)
    async with wire(target.port, bearer(subject)) as alice:
        assert (await alice.answer()).status == 101


def _row(kind: RowKind, name: str, *, keep_until: float, **value: float) -> Row:
    return Row(kind=kind, key=pair_key(ISSUER, name), value=value, keep_until=keep_until, seq=1, at=0.0)


def test_rv_10_a_revocation_outlives_the_token_and_then_goes() -> None:
    """A revocation is kept as long as it was asked to be, and its memory is bounded."""
    revocations = Revocations()
    alice = Identity("alice", issuer=ISSUER, token_id="kept")
    revocations.apply(_row("token", "kept", keep_until=100.0), now=0.0)
    for number in range(5_000):
        revocations.apply(_row("token", f"t{number}", keep_until=50.0), now=0.0)
    for number in range(20_000):
        revocations.apply(_row("token", f"u{number}", keep_until=110.0), now=99.0)
        revocations.apply(_row("token", f"w{number}", keep_until=60.0), now=99.0)
    assert revocations.check(alice, 0.0) is not None
    assert len(revocations) <= 20_001
    for number in range(20_000):
        revocations.apply(_row("token", f"v{number}", keep_until=120.0), now=111.0)
    assert revocations.check(alice, 0.0) is None


async def test_rv_11_a_token_of_the_same_second_counts_as_before(target: Running) -> None:
    """Tokens whose `iat` is the second of the revocation, or that have none, are revoked; a later one is not."""
    subject = somebody()
    await revoke(target, subject=subject, issuer=ISSUER)
    now = int(time.time())
    for claims in ({"iat": now - 1}, {"iat": None}):
        async with wire(target.port, bearer(subject, **claims)) as mallory:
            assert (await mallory.answer()).code == "token_revoked"
    revocations = Revocations()
    revocations.apply(_row("subject", "alice", keep_until=200.0, until=100.0), now=100.0)
    alice = Identity("alice", issuer=ISSUER)
    assert revocations.check(alice, 100) is not None
    assert revocations.check(alice, 101) is None


async def test_rv_11_a_password_is_as_good_as_before(target: Running) -> None:
    """Revoking a subject ends what a password opened; the password itself is the application's to change."""
    async with wire(target.port, request("/basic", SPEAKS)) as alice:
        await alice.answer()
        await alice.message("auth_required")
        alice.send(frame(json.dumps({"type": "auth", "username": "alice", "password": PASSWORDS["alice"]})))
        await alice.message("auth_success")
        assert (await revoke(target, subject="alice", issuer="passwords"))["matched"] == 1
        assert (await alice.message("auth_error"))["closing"] is True
        assert (await alice.closed()).close_code == 3000


@everywhere
async def test_rv_14_a_client_that_ignores_the_close_is_cut(target: Running) -> None:
    """Who goes on sending after the close is not read, and TCP ends within the close timeout."""
    subject, secret = somebody(), f"never {token_hex(4)}"
    async with wire(target.port, bearer(subject)) as mallory:
        assert (await mallory.answer()).status == 101
        assert await is_open(mallory, subject)
        await revoke(target, subject=subject, issuer=ISSUER)
        assert (await mallory.closed()).reason == "token_revoked"
        began = time.monotonic()
        while time.monotonic() - began < 1:
            mallory.send(frame(secret))
            await asyncio.sleep(0.05)
        assert await mallory.cut(within=6)
    assert secret not in await ask(target.port, "delivered")


@everywhere
async def test_rv_15_output_that_is_queued_is_not_flushed(target: Running) -> None:
    """Megabytes for a slow reader are dropped and the report does not wait; daphne takes them all before we can."""
    subject = somebody()
    async with wire(target.port, bearer(subject)) as mallory:
        assert (await mallory.answer()).status == 101
        mallory.send(frame("flood 1000"))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        report = await revoke(target, subject=subject, issuer=ISSUER)
        assert report["matched"] == 1
        assert time.monotonic() - began < 2.5
        received = 0
        try:
            async with asyncio.timeout(7):
                while chunk := await mallory.reader.read(1 << 20):
                    received += len(chunk)
        except ConnectionError:
            pass
        assert received < 30_000_000 or target.server == "daphne"
