"""ATTACKS.md, group "Logging and secret leakage", for the library; LG-01 is in `tests/end_to_end/test_canary.py`."""

import asyncio
import json
import pickle
from secrets import token_hex

import pytest

from tests.attacks.cast import SECRET, token
from tests.attacks.wire import CLOSE, ask, frame, request, wire
from tests.servers import SERVERS, Running
from wsauth import Guard, JWTVerifier, Refused
from wsauth.core.credentials import Credentials
from wsauth.core.handshake import read
from wsauth.core.origins import Origins
from wsauth.core.routes import Policy

everywhere = pytest.mark.parametrize("target", SERVERS, indirect=True)


async def written_about(target: Running, marker: str) -> list[str]:
    """Return the lines that hold the marker, once there are some."""
    async with asyncio.timeout(3):
        while not (lines := [line for line in target.output().splitlines() if marker in line]):  # noqa: ASYNC110  a file sets no event
            await asyncio.sleep(0.02)
    return lines


@pytest.mark.parametrize("name", ["ticket", "token", "access_token", "authorization", "t%69cket"])
async def test_lg_02_the_name_in_a_query_is_logged_and_the_value_is_not(target: Running, name: str) -> None:
    """uvicorn writes the whole URL; of a credential in it the name stays, and what is beside it."""
    secret, marker = token_hex(12), token_hex(6)
    async with wire(target.port, request(f"/ws?{name}={secret}&x={marker}")) as mallory:
        await mallory.answer()
    lines = await written_about(target, marker)
    assert any(f"{name}=<redacted>&x={marker}" in line for line in lines)
    assert secret not in target.output()


@everywhere
async def test_lg_03_an_application_that_fails_shows_no_secret(target: Running) -> None:
    """An exception in the application is logged by the server without header, query or message."""
    secret = token_hex(12)
    path = f"/chat/broken?token={secret}"
    async with wire(target.port, request(path, f"Authorization: Bearer {token()}")) as mallory:
        await mallory.answer()
    good = token()
    async with wire(target.port, request("/chat/broken", f"Authorization: Bearer {good}")) as mallory:
        answer = await mallory.answer()
        assert b"fails" not in answer.body
    async with wire(target.port, request("/ws", f"Authorization: Bearer {good}")) as alice:
        assert (await alice.answer()).status == 101
        alice.send(frame(f"boom {secret}"))
        end = await alice.frame()
        assert end is None or (end.opcode, end.close_code, b"fails" in end.payload) == (CLOSE, 1011, False)
    written = target.output()
    assert secret not in written
    assert good.rpartition(".")[2] not in written


@everywhere
async def test_lg_03_a_verifier_that_fails_shows_no_secret(target: Running) -> None:
    """What a verifier raises holds the token; the log has the kind of the exception only."""
    secret = token_hex(12)
    async with wire(target.port, request("/ws", f"Authorization: Bearer odd-raise-{secret}")) as mallory:
        await mallory.answer()
    assert await written_about(target, "failed with RuntimeError")
    assert secret not in target.output()


def test_lg_05_secrets_hide_and_refuse_to_be_pickled() -> None:
    """Credentials, verifiers, guards and refusals show nothing in any representation."""
    secret = "p4ssw0rd-that-nobody-should-see"
    hidden = Credentials("password", secret, source="basic", username="alice")
    verifier = JWTVerifier(issuer="https://i.example", audience="chat", secret=SECRET)
    guard = Guard(verifiers=[verifier], origins=[])
    handshake = read(
        [(b"host", b"a"), (b"authorization", f"Bearer {secret}".encode())],
        f"x=1&ticket={secret}".encode(),
        [f"wsauth.bearer.{secret}"],
        Policy(path="/ws", origins=Origins([])),
        private=True,
    )
    for each in (hidden, verifier, guard, handshake, handshake.refused, vars(guard)):
        shown = f"{each} {each!r}"
        assert secret not in shown
        assert SECRET not in shown
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(hidden)


@everywhere
async def test_lg_06_the_servers_debug_logs_hold_no_message(target: Running) -> None:
    """At DEBUG `websockets` writes frames; of them opcode and size are left."""
    secret = token_hex(12)
    async with wire(target.port, request("/ws", f"Authorization: Bearer {token()}")) as alice:
        assert (await alice.answer()).status == 101
        alice.send(frame(json.dumps({"password": secret})))
        assert secret in await alice.text()
    assert secret not in target.output()
    if target.server == "uvicorn-sansio":
        assert "< TEXT <redacted> [" in target.output()


@everywhere
async def test_lg_07_an_oversized_token_is_not_repeated(target: Running) -> None:
    """A token of a megabyte in a message, and one of seven kilobytes in a header, are in no error and no log."""
    secret = token_hex(12)
    async with wire(target.port, request("/ws", f"Authorization: Bearer {secret}{'A' * 7_000}")) as mallory:
        answer = await mallory.answer()
        assert secret.encode() not in answer.body
    async with wire(target.port, request("/ws")) as mallory:
        assert (await mallory.answer()).status == 101
        await mallory.message("auth_required")
        mallory.send(frame(json.dumps({"type": "auth", "token": secret + "A" * 1_000_000})))
        assert secret.encode() not in (await mallory.closed()).payload
    assert secret not in target.output()


async def test_lg_07_no_line_is_forged_by_what_is_logged(target: Running) -> None:
    """An Origin with an escape sequence is written encoded (CWE-117), with the line that would allow it left out."""
    marker = token_hex(6)
    async with wire(target.port, request("/ws", f"Origin: https://\x1b[31m{marker}.example")) as mallory:
        assert (await mallory.answer()).status in (400, 403)
    lines = [line for line in target.output().splitlines() if marker in line and "HandshakeRefused" in line]
    assert not [line for line in lines if "\x1b" in line]


async def test_exactly_one_event_is_told_of_a_refusal(target: Running) -> None:
    """Each no is told once, with its code."""
    before = len(await ask(target.port, "events"))
    for line in ("Authorization: Bearer no", "Origin: https://evil.example"):
        async with wire(target.port, request("/ws", line)) as mallory:
            await mallory.answer()
    told = (await ask(target.port, "events"))[before:]
    assert [code for _, code, _ in told] == ["token_invalid", "origin_denied"]


def test_a_refusals_reason_is_the_logs_and_not_the_peers() -> None:
    """The exception's text is for the log; none of it stands in the problem that the peer reads."""
    from wsauth.core.refusals import Refusal

    refusal = Refusal.of(Refused("token_invalid", "the rule that said no", mend="algorithms"), "abc")
    assert "rule" not in json.dumps(refusal.problem())
    assert "algorithms" not in json.dumps(refusal.problem())
