"""ATTACKS.md, group "In-band protocol", against the gateway: every test is named by its row.

Elsewhere: IB-17, IB-18, IB-19 and IB-21 on open connections in tests/rfc6455; renewals whatever their JSON looks like,
and all that waits, in test_gateway_messages.py; IB-31 with a rate comes with the limits. IB-25 needs a credential that
proves more than another, which no issuer of the server's own has; the rule is the machine's (test_in_band.py).
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from secrets import token_hex

import pytest

from tests.attacks.gateway import SPEAKS, Site, auth, gateway
from tests.attacks.wire import BINARY, CLOSE, PING, PONG, TEXT, Wire, frame, request, wire
from tests.wsauth_sockets import eventually, people

CONFIG = """
[roles]
admin = ["panel:open"]
member = ["chat:*:read"]

[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{echo}"
max_message = "64KiB"

[[routes]]
path = "/basic"
upstream = "ws://127.0.0.1:{echo}"
sources = ["message", "ticket", "basic", "subprotocol"]

[[routes]]
path = "/hurried"
upstream = "ws://127.0.0.1:{echo}"
auth_timeout = "1s"

[[routes]]
path = "/admin"
upstream = "ws://127.0.0.1:{echo}"
require = ["panel:open"]

[[routes]]
path = "/gone"
upstream = "ws://127.0.0.1:9"

[[routes]]
path = "/played"
upstream = "ws://127.0.0.1:{played}"

[[routes]]
path = "/compressed"
upstream = "ws://127.0.0.1:{played}"
compression = true
"""
CONT = 0
DEADLINE = 2.0
"""Seconds within which an `auth_timeout` of one second has ended a connection."""
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module."""
    async with gateway(tmp_path_factory.mktemp("in-band"), CONFIG) as found:
        yield found


@pytest.fixture(scope="module")
async def password(running: Site) -> str:
    """Return the password of Alice, who has one here."""
    return await people(running.serving, ["alice"])


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway, and see afterwards that the same process serves the next client."""
    yield running
    await running.serves_the_next()
    running.played.forget()


async def is_alice(client: Wire, text: str = "who am I") -> bool:
    """Tell whether the connection is open, and Alice's to the upstream."""
    client.send(frame(text))
    return await client.text() == f"alice: {text}"


# Before authentication.


async def test_ib_01_who_says_nothing_is_closed_at_the_deadline(site: Site) -> None:
    """Silence ends with 3008 at `auth_timeout`, TCP with it, and the upstream never hears of it."""
    before = len(site.echo.subjects)
    async with site.pending("/hurried") as mallory:
        began = time.monotonic()
        assert (await mallory.message("auth_error"))["code"] == "auth_timeout"
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (3008, "auth_timeout")
        await site.told(end, "auth_timeout")
        assert time.monotonic() - began < DEADLINE
        assert await mallory.cut(within=7)
    assert len(site.echo.subjects) == before


DRIPS = {
    "IB-02 a frame that never ends": [bytes([byte]) for byte in frame("x" * 100)],
    "IB-02 a message that never ends": [frame("x", TEXT, fin=False), *[frame("x", CONT, fin=False)] * 100],
    "IB-03 pings": [frame(b"hi", PING)] * 100,
    "IB-03 pongs": [frame(b"hi", PONG)] * 100,
    "IB-10 empty fragments": [frame("", TEXT, fin=False), *[frame("", CONT, fin=False)] * 100],
}


@pytest.mark.parametrize("name", DRIPS)
async def test_ib_02_03_10_nothing_moves_the_deadline(site: Site, name: str) -> None:
    """Neither a byte now and then, nor pings, nor fragments keep a connection that has not authenticated."""
    before = len(site.echo.subjects)
    async with site.pending("/hurried") as mallory:
        began = time.monotonic()
        for part in DRIPS[name]:
            mallory.send(part)
            await asyncio.sleep(0.04)
            if time.monotonic() - began > 0.8:
                break
        assert (await mallory.closed()).close_code == 3008
        assert time.monotonic() - began < DEADLINE
    assert len(site.echo.subjects) == before


async def test_ib_05_what_follows_a_bad_auth_is_not_the_upstreams(site: Site) -> None:
    """Messages behind a forged token cost attempts and reach nobody, in one segment or byte by byte."""
    never, before = f"never {token_hex(4)}", len(site.echo.subjects)
    sent = auth(token=site.forged()) + frame(never) + frame(never)
    for size in (len(sent), 7):
        async with site.pending() as mallory:
            for at in range(0, len(sent), size):
                mallory.send(sent[at : at + size])
                await asyncio.sleep(0)
            end = await mallory.closed()
            assert (end.close_code, end.reason) == (3000, "too_many_attempts")
    assert len(site.echo.subjects) == before
    assert never not in site.echo.delivered


async def test_ib_06_what_follows_a_good_auth_waits_and_comes_in_order(site: Site, password: str) -> None:
    """Messages behind a password, whose check takes its time, reach the upstream after it, in order, as Alice's."""
    fragments = [frame("fo", TEXT, fin=False), frame(b"p", PING), frame("ur", CONT)]
    async with site.pending("/basic") as alice:
        alice.send(auth(username="alice", password=password), frame("one"), frame("two"), frame(b"three"), *fragments)
        await alice.message("auth_success")
        got = [await alice.frame() for _ in range(5)]
    assert all(got)
    assert [each.payload for each in got if each is not None and each.opcode in (TEXT, BINARY)] == [
        b"alice: one",
        b"alice: two",
        b"three",
        b"alice: four",
    ]
    assert site.echo.delivered[-4:] == ["one", "two", b"three", "four"]


TOO_LARGE = {
    "IB-07 whole": [frame("x" * 16_385)],
    "IB-07 whole, only announced": [frame("x" * 16_385)[:8]],
    "IB-07 in fragments": [
        frame("x" * 1_024, fin=False),
        *[frame("x" * 1_024, CONT, fin=False)] * 15,
        frame("x", CONT),
    ],
    "IB-07 announced as 2**62 bytes": [b"\x81\xff" + (1 << 62).to_bytes(8) + bytes(4)],
    "IB-09 fragments of one byte": [frame("x", fin=False), *[frame("x", CONT, fin=False)] * 20_000],
}


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_ib_07_09_the_first_message_may_not_be_large(site: Site, name: str) -> None:
    """Over 16 KiB it closes with 1009, at the header that says so, and counts as one message however it is cut."""
    async with site.pending() as mallory:
        mallory.send(*TOO_LARGE[name])
        assert (await mallory.message("auth_error"))["code"] == "message_too_large"
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (1009, "message_too_large")
        await site.told(end, "max_unauthenticated_message")


async def test_ib_10_empty_fragments_without_end_are_refused(site: Site) -> None:
    """A message in more than a thousand empty fragments ends with 1008, before authentication and after."""
    endless = [frame("", TEXT, fin=False), *[frame("", CONT, fin=False)] * 2_000]
    async with site.pending() as before, site.opened() as after, site.speaking() as speaking:
        for mallory in (before, after, speaking):
            mallory.send(*endless)
            end = await mallory.closed()
            assert (end.close_code, end.reason) == (1008, "request_invalid")
            await site.told(end, "empty fragments")


async def test_ib_09_a_message_in_a_hundred_thousand_fragments_meets_the_limit(site: Site) -> None:
    """`max_message` counts all fragments: the message ends with 1009 on both sides, and is never finished."""
    endless = frame("x", TEXT, fin=False) + frame("x", CONT, fin=False) * 100_000
    async with site.opened(path="/played") as mallory, site.speaking("/played") as speaking:
        upstreams = [await site.played.end(), await site.played.end()]
        for each, upstream in zip((mallory, speaking), upstreams, strict=True):
            each.send(endless)
            got = 0
            while (found := await upstream.receive()).opcode != CLOSE:
                assert not found.final
                got += len(found.payload)
            assert (found.code, found.reason) == (1009, "message_too_large")
            assert got == 65_536
            end = await each.closed()
            assert (end.close_code, end.reason) == (1009, "message_too_large")
            await site.told(end, "max_message")


@pytest.mark.parametrize("fragmented", [False, True])
async def test_ib_11_a_binary_first_message_is_refused(site: Site, fragmented: bool) -> None:
    """Credentials are text: binary closes with 1003, at its first frame, although its bytes would do."""
    payload = json.dumps({"type": "auth", "token": site.token()}).encode()
    async with site.pending() as mallory:
        mallory.send(frame(payload, BINARY, fin=not fragmented))
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (1003, "message_unsupported")
        await site.told(end)


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
    "IB-15 deep without end": '{{"type":"auth","token":"{0}","x":' + "[" * 15_000,
    "IB-15 many members": '{{"type":"AUTH"' + ',"{0:.9}":1' * 900 + "}}",
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
    "AZ-07 rights of its own": '{{"type":"auth","token":"x.{0}","roles":["admin"],"scopes":["**"]}}',
}


@pytest.mark.parametrize("name", NOT_AUTH)
async def test_ib_13_14_15_what_is_not_exactly_an_auth_lets_nobody_in(site: Site, name: str) -> None:
    """A message that two readers could take for two things costs an attempt, quickly, and says nothing of itself."""
    good, before = site.token(), len(site.echo.subjects)
    async with site.pending("/basic") as mallory:
        began = time.monotonic()
        mallory.send(frame(NOT_AUTH[name].format(good)))
        error = await mallory.message("auth_error")
        assert time.monotonic() - began < 0.5
        assert (error["attempts_left"], error["closing"]) == (2, False)
        assert good not in json.dumps(error)
        await site.told(error)
        mallory.send(frame("hello"))
        assert (await mallory.message("auth_error"))["code"] == "credentials_missing"
    assert len(site.echo.subjects) == before


async def test_ib_13_utf_16_closes(site: Site) -> None:
    """A text that is no UTF-8 ends with 1007."""
    async with site.pending() as mallory:
        mallory.send(frame(json.dumps({"type": "auth", "token": site.token()}).encode("utf-16"), TEXT))
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (1007, "request_invalid")
        await site.told(end, "UTF-8")


# Frames, while nobody is known yet.


MALFORMED = {
    "IB-17 unmasked": bytes.fromhex("8105 68656c6c6f"),
    **{f"IB-18 RSV{bit}": frame("", rsv=4 >> (bit - 1)) for bit in (1, 2, 3)},
    **{f"IB-18 opcode {opcode:X}": frame(b"", opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "IB-19 a long ping": frame(bytes(126), PING),
    "IB-19 a fragmented ping": frame(b"", PING, fin=False),
    "a continuation of nothing": frame(b"x", CONT),
    "a message within another": frame("x", fin=False) + frame("y"),
    "a length in too many bytes": b"\x81\xfe\x00\x05" + bytes(4) + b"hello",
    "IB-21 a close of one byte": frame(b"\x03", CLOSE),
    **{
        f"IB-21 close {code}": frame(code.to_bytes(2), CLOSE)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)
    },
    "IB-21 a close with a bad reason": frame(b"\x03\xe8\xff\xfe", CLOSE),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_ib_17_18_19_21_a_malformed_frame_ends_a_pending_connection(site: Site, name: str) -> None:
    """1002, or 1007 for a reason that is no UTF-8; what is behind it is not looked at, though it would let her in."""
    before = len(site.echo.subjects)
    async with site.pending() as mallory:
        mallory.send(MALFORMED[name], auth(token=site.token("mallory")))
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (1007 if "bad reason" in name else 1002, "request_invalid")
        await site.told(end)
        assert await mallory.ended(within=3)
    assert len(site.echo.subjects) == before


async def test_ib_21_what_comes_behind_a_close_is_not_read(site: Site) -> None:
    """After a client has closed, neither its messages nor its token count, pending or open."""
    before, never = len(site.echo.subjects), f"never {token_hex(4)}"
    async with site.pending() as mallory:
        mallory.send(frame(b"\x03\xe8", CLOSE), auth(token=site.token("mallory")))
        assert (await mallory.closed()).close_code == 1000
        assert await mallory.cut(within=3)
    assert len(site.echo.subjects) == before
    async with site.opened(site.bearer("mallory")) as mallory, site.speaking(subject="mallory") as speaking:
        for each in (mallory, speaking):
            each.send(frame(b"\x03\xe8", CLOSE), frame(never))
            assert (await each.closed()).close_code == 1000
            assert await each.cut(within=3)
    assert never not in site.echo.delivered


# Renewals.


async def test_ib_22_a_renewal_replaces_end_and_rights(site: Site) -> None:
    """A newer token of Alice's brings its own end and rights; the connection, and its upstream, stay."""
    before = len(site.echo.subjects)
    async with site.speaking(ttl=300, ago=10, roles=["member"]) as alice:
        alice.send(auth(token=site.token(ttl=600, roles=["member", "admin"])))
        renewed = await alice.message("auth_success")
        assert renewed["permissions"] == ["chat:*:read", "panel:open"]
        assert 590 < renewed["expires_in"] <= 600
        assert await is_alice(alice)
    assert len(site.echo.subjects) == before + 1


async def test_ib_23_nobody_becomes_somebody_else(site: Site) -> None:
    """Bob's token on Alice's connection changes nothing, costs an attempt, and is told of once."""
    async with site.speaking() as alice:
        alice.send(auth(token=site.token("bob", roles=["admin"])))
        error = await alice.message("auth_error")
        assert (error["code"], error["closing"], error["action"]) == ("identity_mismatch", False, "stop")
        assert error["attempts_left"] == 2
        await site.told(error, "identity_mismatch")
        assert await is_alice(alice)
    assert site.echo.subjects[-1] == "alice"


async def test_ib_26_27_bad_renewals_are_counted_and_extend_nothing(site: Site) -> None:
    """Forged and expired tokens on an open connection cost attempts; the third ends both sides."""
    async with site.speaking(ttl=300) as mallory:
        bad = site.forged(), site.token(ttl=60, ago=600), "no token"
        for left, each in enumerate(bad):
            mallory.send(auth(token=each))
            error = await mallory.message("auth_error")
            if left < 2:
                assert error["code"] in ("token_invalid", "token_expired")
                assert error["attempts_left"] == 2 - left
                await site.told(error)
                assert await is_alice(mallory)
            else:
                assert (error["code"], error["closing"]) == ("too_many_attempts", True)
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (3000, "too_many_attempts")
        assert await mallory.ended(within=3)


async def test_ib_27_a_hundred_bad_auths_close_after_three(site: Site) -> None:
    """A flood of wrong credentials is answered three times."""
    async with site.pending() as mallory:
        mallory.send(*[auth(token=site.forged())] * 100)
        errors = [await mallory.message("auth_error") for _ in range(3)]
        assert [error.get("attempts_left") for error in errors] == [2, 1, None]
        assert (errors[-1]["code"], errors[-1]["closing"]) == ("too_many_attempts", True)
        end = await mallory.frame()
        assert end is not None
        assert (end.opcode, end.close_code) == (CLOSE, 3000)


async def test_ib_27_of_a_hundred_bad_renewals_the_first_and_the_newest_are_looked_at(site: Site) -> None:
    """Those between are not even verified; the next one ends it."""
    async with site.speaking() as mallory:
        mallory.send(*[auth(token=site.forged())] * 100)
        assert [(await mallory.message("auth_error"))["attempts_left"] for _ in range(2)] == [2, 1]
        mallory.send(auth(token=site.forged()))
        assert (await mallory.message("auth_error"))["code"] == "too_many_attempts"
        assert (await mallory.closed()).close_code == 3000


async def test_ib_26_a_renewal_that_is_not_newer_extends_nothing(site: Site) -> None:
    """An older token, although it lives longer, is answered with the lease as it was."""
    async with site.speaking(ttl=300) as alice:
        alice.send(auth(token=site.token(ttl=3_600, ago=60)))
        assert (await alice.message("auth_success"))["expires_in"] <= 300
        assert await is_alice(alice)


# Floods, ends, leaks.


async def test_ib_29_clients_that_are_gone_during_verification_leave_nothing(site: Site, password: str) -> None:
    """Resets while a password is checked leave no connection, no descriptor, and no handshake upstream."""
    before, files = len(site.echo.subjects), site.descriptors
    for _ in range(60):
        async with wire(site.port, request("/basic")) as mallory:
            assert (await mallory.answer()).status == 101
            mallory.send(auth(username="alice", password=password))
            await asyncio.sleep(0.002)

    async def as_before() -> bool:
        return site.descriptors <= files and not site.echo.open

    assert await eventually(as_before, within=20)
    assert "Traceback" not in site.serving.output()
    assert len(site.echo.subjects) - before <= 60


async def test_ib_30_a_flood_of_pings_ends_whoever_is_not_known_yet(site: Site) -> None:
    """Pings before authentication are answered a hundred times, then 1008."""
    async with site.pending() as mallory:
        mallory.send(*[frame(b"x", PING)] * 10_000)
        for _ in range(100):
            found = await mallory.frame()
            assert found is not None
            assert found.opcode == PONG
        assert (await mallory.message("auth_error"))["closing"] is True
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (1008, "request_invalid")
        await site.told(end, "pings")


@pytest.mark.parametrize("kind", [PING, PONG], ids=["pings", "pongs"])
@pytest.mark.parametrize("way", ["pending", "open", "speaking"])
async def test_ib_30_a_flood_of_control_frames_ends_its_sender_alone(site: Site, kind: int, way: str) -> None:
    """Ten thousand at once end with 1008; Alice is served meanwhile, and goes on."""
    opening = {"pending": site.pending(), "open": site.opened(site.bearer("mallory")), "speaking": site.speaking()}
    async with opening[way] as mallory, site.opened() as alice:
        mallory.send(*[frame(b"x", kind)] * 10_000)
        began = time.monotonic()
        assert await is_alice(alice)
        assert time.monotonic() - began < 1
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (1008, "request_invalid")
        await site.told(end)
        assert await is_alice(alice)


async def test_ib_30_who_pings_now_and_then_is_no_flood(site: Site) -> None:
    """A thousand control frames at once, and as many with messages between them, end nobody."""
    async with site.opened() as alice, site.speaking() as speaking:
        for each in (alice, speaking):
            for _ in range(4):
                each.send(*[frame(b"x", PING)] * 240)
                assert await is_alice(each)


async def test_ib_31_a_flood_of_messages_is_held_back_and_not_lost(site: Site) -> None:
    """Two thousand messages at once are answered in order; nothing is dropped."""
    async with site.opened() as alice, site.speaking() as speaking:
        for each in (alice, speaking):
            each.send(*(frame(f"{number}") for number in range(2_000)))
            for number in range(2_000):
                assert await each.text() == f"alice: {number}"


async def test_ib_33_who_is_not_known_learns_nothing(site: Site) -> None:
    """Before authentication every path answers alike, whether its upstream is there, and whatever it requires."""
    seen = set()
    for path in ("/ws", "/admin", "/gone"):
        async with wire(site.port, request(path)) as mallory:
            answer = await mallory.answer()
            seen.add((answer.status, tuple(answer.headers), await mallory.text()))
    assert len(seen) == 1


async def test_ib_34_nothing_that_was_sent_comes_back_in_an_error(site: Site) -> None:
    """Errors and close reasons are fixed texts of at most 123 bytes, whatever is sent."""
    async with site.pending() as mallory:
        spoken = ["<script>alert(1)</script>", "\x1b[31mmauve", json.dumps({"type": "auth", "token": "reflected"})]
        mallory.send(*(frame(text) for text in spoken))
        seen = b""
        while (found := await mallory.frame()) is not None:
            seen += found.payload
            if found.opcode == CLOSE:
                assert len(found.payload) <= 125
                break
        assert not [word for word in (b"script", b"mauve", b"reflected") if word in seen]
    assert "\x1b" not in site.serving.output()


async def test_ib_35_three_hundred_that_come_at_once_all_get_in(site: Site) -> None:
    """Who reconnects in a storm, with tokens in their messages, is served, and Alice is meanwhile."""
    tokens = [site.token(f"somebody-{number}") for number in range(300)]

    async def come(token: str) -> str:
        async with site.pending() as client:
            client.send(auth(token=token), frame("hi"))
            await client.message("auth_success", within=30)
            return (await client.text(within=30)).partition(":")[0]

    async with site.opened() as alice:
        coming = asyncio.gather(*(come(token) for token in tokens))
        while not coming.done():
            assert await is_alice(alice)
            await asyncio.sleep(0.05)
        assert await coming == [f"somebody-{number}" for number in range(300)]


async def test_ib_37_compression_is_never_agreed_on_where_it_could_tell_of_tokens(site: Site) -> None:
    """Not with who offers `wsauth.v1` or brings no credentials, and not on a route that does not ask for it."""
    token = site.token()
    cases = {
        "speaks": ("/compressed", [f"{SPEAKS}, wsauth.bearer.{token}"]),
        "offers wsauth.v1": ("/compressed", [SPEAKS, f"Authorization: Bearer {token}"]),
        "pending": ("/compressed", []),
        "off": ("/ws", [f"Authorization: Bearer {token}"]),
    }
    for name, (path, lines) in cases.items():
        answer = await site.attempt(DEFLATE, *lines, path=path)
        assert (answer.status, answer.header("sec-websocket-extensions")) == (101, ""), name
    assert [head.all("sec-websocket-extensions") for head in site.played.heads] == [[], []]
    async with wire(site.port, request("/compressed", DEFLATE, f"Authorization: Bearer {token}")) as alice:
        assert (await alice.answer()).status == 101
    assert site.played.heads[-1].all("sec-websocket-extensions") == ["permessage-deflate"]


@pytest.mark.parametrize("way", ["pending", "open", "speaking"])
async def test_ib_38_a_client_that_ends_its_side_of_tcp_is_let_go(site: Site, way: str) -> None:
    """Half-closed without a close frame, both sides end within the close timeout, and no upstream is blamed."""
    opening = {"pending": site.pending(), "open": site.opened(), "speaking": site.speaking()}
    async with opening[way] as client:
        if way != "pending":
            assert await is_alice(client)
        client.writer.write_eof()
        assert await client.cut(within=7)

    async def gone() -> bool:
        return not site.echo.open

    assert await eventually(gone)
    assert "upstream ended TCP" not in site.serving.output()


async def test_ib_38_a_client_that_never_answers_a_close_is_cut(site: Site) -> None:
    """It gets the close frame, and TCP ends five seconds later without its help."""
    async with site.pending("/hurried") as mallory:
        assert (await mallory.closed()).close_code == 3008
        began = time.monotonic()
        assert await mallory.cut(within=8)
        assert time.monotonic() - began > 3
