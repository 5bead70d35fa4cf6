"""ATTACKS.md, group "In-band protocol": every test is named by its row."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any

import pytest

from tests.attacks.cast import PASSWORDS, token
from tests.attacks.wire import BINARY, CLOSE, PING, PONG, TEXT, Wire, ask, frame, request, wire
from tests.servers import SERVERS, Running

everywhere = pytest.mark.parametrize("target", SERVERS, indirect=True)
SPEAKS = "Sec-WebSocket-Protocol: wsauth.v1"
CONT = 0


def auth(**members: Any) -> bytes:
    """Return an `auth` message as a frame."""
    return frame(json.dumps({"type": "auth", **members}))


@asynccontextmanager
async def pending(target: Running, path: str = "/ws", *lines: str) -> AsyncGenerator[Wire]:
    """Open a connection that waits for authentication."""
    async with wire(target.port, request(path, *lines)) as found:
        assert (await found.answer()).status == 101
        await found.message("auth_required")
        yield found


@asynccontextmanager
async def opened(target: Running, path: str = "/ws", subject: str = "alice", **claims: Any) -> AsyncGenerator[Wire]:
    """Open a connection that speaks wsauth."""
    async with wire(target.port, request(path, f"{SPEAKS}, wsauth.bearer.{token(subject, **claims)}")) as found:
        assert (await found.answer()).status == 101
        assert (await found.message("auth_success"))["subject"] == subject
        yield found


async def is_alice(found: Wire, text: str = "who am I") -> bool:
    """Tell whether the connection is Alice's and open."""
    found.send(frame(text))
    return await found.text() == f"alice: {text}"


# Before authentication.


@everywhere
async def test_ib_01_who_says_nothing_is_closed_at_the_deadline(target: Running) -> None:
    """Silence ends with 3008 at `auth_timeout`, TCP with it, and no byte of the application's before."""
    async with pending(target, "/hurried") as mallory:
        began = time.monotonic()
        assert (await mallory.message("auth_error"))["code"] == "auth_timeout"
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (3008, "auth_timeout")
        assert 0.5 < time.monotonic() - began < 2
        assert await mallory.cut(within=7)


@everywhere
async def test_ib_02_a_message_that_drips_moves_no_deadline(target: Running) -> None:
    """A frame that never ends does not keep a connection."""
    async with pending(target, "/hurried") as mallory:
        began = time.monotonic()
        for byte in frame("x" * 100)[:10]:
            mallory.send(bytes([byte]))
            await asyncio.sleep(0.08)
        assert (await mallory.closed()).close_code == 3008
        assert time.monotonic() - began < 2


@everywhere
async def test_ib_03_pings_move_no_deadline(target: Running) -> None:
    """Pings are answered and change nothing."""
    async with pending(target, "/hurried") as mallory:
        began = time.monotonic()
        while time.monotonic() - began < 0.8:
            mallory.send(frame(b"hi", PING))
            await asyncio.sleep(0.1)
        assert (await mallory.closed()).close_code == 3008
        assert time.monotonic() - began < 2


@everywhere
async def test_ib_05_what_follows_a_bad_auth_is_not_the_applications(target: Running) -> None:
    """Messages behind a forged token cost attempts and reach nobody."""
    secret = f"never {token_hex(4)}"
    async with pending(target) as mallory:
        mallory.send(auth(token=token(secret="x" * 32)), frame(secret), frame(secret))
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (3000, "too_many_attempts")
    assert secret not in await ask(target.port, "delivered")


@everywhere
async def test_ib_06_what_follows_a_good_auth_waits_and_comes_in_order(target: Running) -> None:
    """Messages behind a token that takes a while are answered after it, in order, as the new identity."""
    async with pending(target) as alice:
        alice.send(auth(token="odd-slow-0.5"), frame("one"), frame("two"), frame("three"))
        await alice.message("auth_success")
        assert [await alice.text() for _ in range(3)] == ["alice: one", "alice: two", "alice: three"]


@everywhere
async def test_ib_07_the_first_message_may_not_be_large(target: Running) -> None:
    """A first message over 16 KiB closes with 1009, whole or in fragments."""
    for parts in (
        [frame("x" * 16_385)],
        [frame("x" * 1_024, fin=False), *[frame("x" * 1_024, CONT, fin=False)] * 16, frame("x", CONT)],
    ):
        async with pending(target) as mallory:
            mallory.send(*parts)
            assert (await mallory.message("auth_error"))["code"] == "message_too_large"
            assert (await mallory.closed()).close_code == 1009


@pytest.mark.parametrize("fragment", ["x", ""], ids=["IB-09", "IB-10"])
@everywhere
async def test_ib_09_10_fragments_without_end_meet_the_deadline(target: Running, fragment: str) -> None:
    """A message in endless fragments is the server's until it ends; the deadline, or the server, ends it."""
    async with pending(target, "/hurried") as mallory:
        began = time.monotonic()
        mallory.send(frame(fragment, TEXT, fin=False))
        while time.monotonic() - began < 0.8:
            mallory.send(*[frame(fragment, CONT, fin=False)] * 50)
            await asyncio.sleep(0.1)
        assert (await mallory.closed()).close_code == 3008
        assert time.monotonic() - began < 2.5


@everywhere
async def test_ib_11_a_binary_first_message_is_refused(target: Running) -> None:
    """Credentials are text: binary closes with 1003 although its bytes would do."""
    async with pending(target) as mallory:
        mallory.send(frame(json.dumps({"type": "auth", "token": token()}).encode(), BINARY))
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (1003, "message_unsupported")


NOT_AUTH = {
    "IB-13 BOM": '\ufeff{{"type":"auth","token":"{0}"}}',
    "IB-13 lone surrogate": '{{"type":"auth","token":"{0}\\ud800"}}',
    "IB-13 lone surrogate elsewhere": '{{"type":"auth","ticket":"\\udfff"}}',
    "IB-13 NUL between": '{{\x00"type":"auth","token":"{0}"}}',
    "IB-14 doubled, the good one last": '{{"type":"auth","token":"bad","token":"{0}"}}',
    "IB-14 doubled, the good one first": '{{"type":"auth","token":"{0}","token":"bad"}}',
    "IB-14 doubled by an escape": '{{"type":"auth","token":"{0}","\\u0074oken":"{0}"}}',
    "IB-14 doubled type": '{{"type":"auth","type":"auth","token":"{0}"}}',
    "IB-14 doubled within": '{{"type":"auth","token":"{0}","x":{{"a":1,"a":2}}}}',
    "IB-14 two credentials": '{{"type":"auth","token":"{0}","ticket":"x"}}',
    "IB-15 trailing text": '{{"type":"auth","token":"{0}"}} x',
    "IB-15 two values": '{{"type":"auth","token":"{0}"}}{{}}',
    "IB-15 NaN": '{{"type":"auth","token":"{0}","x":NaN}}',
    "IB-15 Infinity": '{{"type":"auth","token":"{0}","x":-Infinity}}',
    "IB-15 deep": '{{"type":"auth","token":"{0}","x":' + "[" * 7_000 + "]" * 7_000 + "}}",
    "IB-15 an array": '[{{"type":"auth","token":"{0}"}}]',
    "IB-15 an empty object": '{{"type":"auth"}}',
    "IB-15 another type": '{{"type":"AUTH","token":"{0}"}}',
    "IB-15 type in a list": '{{"type":["auth"],"token":"{0}"}}',
    "IB-15 prototype": '{{"__proto__":{{"type":"auth","token":"{0}"}}}}',
    "IB-15 token in a list": '{{"type":"auth","token":["{0}"]}}',
    "IB-15 token a number": '{{"type":"auth","token":1}}',
    "IB-15 token empty": '{{"type":"auth","token":""}}',
    "IB-15 token null": '{{"type":"auth","token":null}}',
    "IB-15 password null": '{{"type":"auth","username":"alice","password":null}}',
    "IB-15 no password": '{{"type":"auth","username":"alice"}}',
    "IB-15 single quotes": "{{'type':'auth','token':'{0}'}}",
    "IB-15 space in the token": '{{"type":"auth","token":" {0}"}}',
    "IB-15 scheme in the token": '{{"type":"auth","token":"Bearer {0}"}}',
}


@pytest.mark.parametrize("text", NOT_AUTH.values(), ids=NOT_AUTH)
async def test_ib_13_14_15_what_is_not_exactly_an_auth_lets_nobody_in(target: Running, text: str) -> None:
    """A message that two readers could take for two things costs an attempt, quickly, and says nothing of itself."""
    async with pending(target, "/basic") as mallory:
        good = token()
        began = time.monotonic()
        mallory.send(frame(text.format(good)))
        error = await mallory.message("auth_error")
        assert time.monotonic() - began < 0.25
        assert error["attempts_left"] == 2
        assert good not in json.dumps(error)
        mallory.send(frame("hello"))
        assert (await mallory.message("auth_error"))["code"] == "credentials_missing"


@pytest.mark.parametrize("number", ["1e999999", "9" * 10_000], ids=["large", "long"])
async def test_ib_15_a_long_number_beside_a_good_token_is_harmless(target: Running, number: str) -> None:
    """A number that Python would not read is one that nobody looks at; the token beside it is Alice's."""
    async with pending(target) as alice:
        alice.send(frame(f'{{"type":"auth","x":{number},"token":"{token()}"}}'))
        await alice.message("auth_success")
        assert await is_alice(alice)


@everywhere
async def test_ib_13_utf_16_closes(target: Running) -> None:
    """A text frame that is no UTF-8 is the server's to refuse: 1007, an empty close (granian), or TCP ends."""
    async with pending(target) as mallory:
        mallory.send(frame(json.dumps({"type": "auth", "token": token()}).encode("utf-16"), TEXT))
        end = await mallory.frame()
        assert end is None or (end.opcode == CLOSE and end.close_code in (1007, 1002, 1005))


# Frames.


MALFORMED = {
    "IB-17 unmasked": bytes.fromhex("8105 68656c6c6f"),
    "IB-18 RSV1": frame("", rsv=4),
    "IB-18 RSV2": frame("", rsv=2),
    "IB-18 RSV3": frame("", rsv=1),
    **{f"IB-18 opcode {opcode:X}": frame(b"", opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "IB-19 long ping": frame(bytes(126), PING),
    "IB-19 fragmented ping": frame(b"", PING, fin=False),
    "continuation of nothing": frame(b"x", CONT),
    "IB-21 close of one byte": frame(b"\x03", CLOSE),
    **{
        f"IB-21 close {code}": frame(code.to_bytes(2), CLOSE)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)
    },
    "IB-21 close with a bad reason": frame(b"\x03\xe8\xff\xfe", CLOSE),
}


@pytest.mark.parametrize("name", MALFORMED)
@everywhere
async def test_ib_17_18_19_21_a_malformed_frame_closes(target: Running, name: str) -> None:
    """What RFC 6455 forbids ends the connection before and after authentication, and nothing behind it is read."""
    secret = f"never {token_hex(4)}"
    async with pending(target) as before, opened(target) as after:
        for mallory in (before, after):
            mallory.send(MALFORMED[name], frame(secret))
            end = await mallory.frame()
            assert end is None or end.opcode == CLOSE
            if end is not None and not name.startswith("IB-21"):
                assert end.close_code in (1002, 1003, 1005)
    assert secret not in await ask(target.port, "delivered")


@everywhere
async def test_ib_21_data_after_a_close_is_not_read(target: Running) -> None:
    """After Mallory has closed, nothing more of hers reaches the application."""
    secret = f"never {token_hex(4)}"
    async with opened(target, subject="mallory") as mallory:
        mallory.send(frame(b"\x03\xe8", CLOSE), frame(secret))
        assert await mallory.cut(within=7)
    assert secret not in await ask(target.port, "delivered")


# Renewals.


@everywhere
async def test_ib_22_a_renewal_replaces_end_and_rights(target: Running) -> None:
    """A newer token of Alice's brings its own rights; the older one's are gone."""
    now = int(time.time())
    async with opened(target, iat=now - 10, roles=["admin"]) as alice:
        alice.send(frame("allows chat:1:read"))
        assert await alice.text() == "alice: [true, true]"
        alice.send(auth(token=token(iat=now, exp=now + 600, roles=[])))
        renewed = await alice.message("auth_success")
        assert (renewed["roles"], renewed["permissions"]) == ([], [])
        assert 590 < renewed["expires_in"] <= 600
        alice.send(frame("allows chat:1:read"))
        assert await alice.text() == "alice: [false, false]"


@everywhere
async def test_ib_23_nobody_becomes_somebody_else(target: Running) -> None:
    """Bob's token on Alice's connection changes nothing, and costs an attempt."""
    async with opened(target, roles=["member"]) as alice:
        alice.send(auth(token=token("bob", roles=["admin"])))
        error = await alice.message("auth_error")
        assert (error["code"], error["closing"], error["action"]) == ("identity_mismatch", False, "stop")
        assert await is_alice(alice)
        alice.send(frame("allows panel:open"))
        assert await alice.text() == "alice: [false, false]"


@everywhere
async def test_ib_23_the_issuer_is_part_of_who_somebody_is(target: Running) -> None:
    """The `alice` of the password file is not the `alice` of the issuer."""
    async with opened(target, "/basic") as alice:
        alice.send(auth(username="alice", password=PASSWORDS["alice"]))
        assert (await alice.message("auth_error"))["code"] == "identity_mismatch"
        assert await is_alice(alice)


@pytest.mark.parametrize(
    ("strong", "weak"),
    [
        ({"acr": "2"}, {"acr": "1"}),
        ({"acr": "2"}, {}),
        ({"amr": ["pwd", "mfa"]}, {"amr": ["pwd"]}),
    ],
)
async def test_ib_25_a_weaker_credential_is_refused(target: Running, strong: Any, weak: Any) -> None:
    """A connection opened with more assurance is not renewed with less."""
    async with opened(target, **strong) as alice:
        alice.send(auth(token=token(**weak, exp=int(time.time()) + 7200)))
        error = await alice.message("auth_error")
        assert (error["code"], error["closing"]) == ("step_up_required", False)
        assert await is_alice(alice)


@everywhere
async def test_oa_30_what_is_not_said_of_a_login_is_the_least(target: Running) -> None:
    """A sensitive message needs a recent and strong login: missing, old, lower and oddly written ones do not do.

    The client is told what would; the connection stays, and after another login the same message is answered.
    """
    now = int(time.time())
    weak: list[dict[str, Any]] = [
        {}, {"auth_time": now}, {"acr": "2"}, {"auth_time": now - 61, "acr": "2"}, {"auth_time": now, "acr": "1"},
        {"auth_time": now, "acr": ["2"]}, {"auth_time": now, "acr": 2}, {"auth_time": now, "amr": ["mfa"]},
    ]  # fmt: skip
    for claims in weak:
        async with opened(target, **claims) as alice:
            alice.send(frame("sensitive"))
            refused = await alice.message("auth_refused")
            assert (refused["code"], refused["message"]) == ("step_up_required", 1)
            assert ("max_age=60" in refused["detail"]) is (claims.get("auth_time") != now)
            assert ("acr_values=2 3" in refused["detail"]) is (claims.get("acr") != "2")
            if claims.get("acr") not in (None, "1", "2"):
                continue  # what is no text cannot be compared, so only a later login would do (IB-25)
            alice.send(auth(token=token(auth_time=now, acr="3", amr=["mfa"], exp=now + 3600)))
            await alice.message("auth_success")
            assert await is_alice(alice, "sensitive")


@everywhere
async def test_ib_26_27_bad_renewals_are_counted_and_extend_nothing(target: Running) -> None:
    """Forged and expired tokens on an open connection cost attempts; the third ends it."""
    async with opened(target) as mallory:
        bad = token(secret="x" * 32), token(iat=1_600_000_000, exp=1_600_000_600), "no token"
        for left, each in enumerate(bad):
            mallory.send(auth(token=each))
            error = await mallory.message("auth_error")
            if left < 2:
                assert error["code"] in ("token_invalid", "token_expired")
                assert error["attempts_left"] == 2 - left
                assert await is_alice(mallory)
            else:
                assert (error["code"], error["closing"]) == ("too_many_attempts", True)
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (3000, "too_many_attempts")


@everywhere
async def test_ib_27_a_hundred_bad_auths_close_after_three(target: Running) -> None:
    """A flood of wrong credentials is answered three times."""
    async with pending(target) as mallory:
        mallory.send(*[auth(token=token(secret="x" * 32))] * 100)
        answers = []
        while (found := await mallory.frame()) is not None and found.opcode != CLOSE:
            answers.append(json.loads(found.payload))
        assert [answer["attempts_left"] for answer in answers[:2]] == [2, 1]
        assert answers[-1]["code"] == "too_many_attempts"
        assert len(answers) <= 4
        assert found is None or found.close_code == 3000


async def test_ib_26_a_renewal_that_is_not_newer_extends_nothing(target: Running) -> None:
    """An older token, and the same once more, are answered with the lease as it was."""
    now = int(time.time())
    same = token(iat=now - 5, exp=now + 300)
    async with wire(target.port, request("/ws", f"{SPEAKS}, wsauth.bearer.{same}")) as alice:
        assert (await alice.answer()).status == 101
        await alice.message("auth_success")
        alice.send(auth(token=token(iat=now - 60, exp=now + 3000)))
        assert (await alice.message("auth_success"))["expires_in"] <= 300


# Floods, ends, leaks.


async def test_ib_29_clients_that_are_gone_during_verification_leave_nothing(target: Running) -> None:
    """Resets in the middle of a verification leave no connection behind."""
    before = await ask(target.port, "connections")
    for _ in range(200):
        async with wire(target.port, request("/ws", "Authorization: Bearer odd-slow-0.3")):
            pass
        async with wire(target.port, request("/ws")) as mallory:
            await mallory.answer()
            mallory.send(auth(token="odd-slow-0.3"))
    async with asyncio.timeout(8):
        while await ask(target.port, "connections") > before:  # noqa: ASYNC110  a process that is asked sets no event
            await asyncio.sleep(0.1)


async def test_ib_30_pings_and_pongs_in_masses_disturb_nobody(target: Running) -> None:
    """Thousands of pings and pongs are answered or dropped while Alice is served."""
    async with pending(target) as before, opened(target, subject="mallory") as after, opened(target) as alice:
        for mallory in (before, after):
            mallory.send(*[frame(b"x", PING)] * 2_000, *[frame(b"x", PONG)] * 2_000)
        began = time.monotonic()
        assert await is_alice(alice)
        assert time.monotonic() - began < 2


async def test_ib_31_a_flood_of_messages_is_held_back_and_not_lost(target: Running) -> None:
    """Two thousand messages at once are answered in order; nothing is dropped."""
    async with opened(target) as alice:
        alice.send(*(frame(f"{number}") for number in range(2_000)))
        for number in range(2_000):
            assert await alice.text() == f"alice: {number}"


async def test_ib_33_who_is_not_known_learns_nothing(target: Running) -> None:
    """Before authentication every path answers alike, whether the application has it or not."""
    seen = set()
    for path in ("/ws", "/no/such/path", "/admin", "/chat/secret"):
        async with wire(target.port, request(path)) as mallory:
            answer = await mallory.answer()
            seen.add((answer.status, len(answer.headers), await mallory.text()))
    assert len(seen) == 1


@everywhere
async def test_ib_34_nothing_that_was_sent_comes_back_in_an_error(target: Running) -> None:
    """Errors and close reasons are fixed texts of at most 123 bytes, whatever is sent."""
    async with pending(target) as mallory:
        spoken = ["<script>alert(1)</script>", "\x1b[31mmauve", json.dumps({"type": "auth", "token": "reflected"})]
        mallory.send(*(frame(text) for text in spoken))
        seen = b""
        while (found := await mallory.frame()) is not None:
            seen += found.payload
            if found.opcode == CLOSE:
                assert len(found.payload) <= 125
                break
        assert not [word for word in (b"script", b"mauve", b"reflected") if word in seen]


async def test_ib_37_compression_is_the_servers_and_off_when_it_is_off(target: Running) -> None:
    """The library never asks for permessage-deflate; a client that offers it gets what uvicorn was started with."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    async with wire(target.port, request("/ws", offer, f"Authorization: Bearer {token()}")) as alice:
        assert (await alice.answer()).header("sec-websocket-extensions").startswith("permessage-deflate")


@everywhere
async def test_ib_38_a_client_that_never_answers_a_close_is_let_go(target: Running) -> None:
    """A half-closed or silent client does not keep a connection that was closed."""
    async with pending(target, "/hurried") as mallory:
        assert (await mallory.closed()).close_code == 3008
        assert await mallory.cut(within=8)
