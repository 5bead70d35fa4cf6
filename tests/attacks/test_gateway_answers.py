"""ATTACKS.md GW-13, GW-26 and RX-21: what an upstream may answer to a handshake, and what becomes of anything else."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable

import pytest
from websockets.utils import accept_key

from tests.attacks.gateway import SPEAKS, Play, Site, Upstream, auth, gateway, switching
from tests.attacks.wire import CLOSE, frame, request, wire

TIMEOUT = 1.0
CONFIG = f"""
[server]
request_timeout = "{TIMEOUT:g}s"

[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{{echo}}"

[[routes]]
path = "/played"
upstream = "ws://127.0.0.1:{{played}}"
compression = true
subprotocols = ["chat"]
"""
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module."""
    async with gateway(tmp_path_factory.mktemp("answers"), CONFIG) as found:
        yield found


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway, and see afterwards that the same process serves the next client."""
    running.played.forget()
    yield running
    await running.serves_the_next()
    assert "Traceback" not in running.serving.output()


Made = Callable[[str], bytes]


def yes(*lines: str) -> Made:
    """Return a 101 with these lines in the place of those with the same name."""
    return lambda key: switching(key, *lines)


def without(*names: str) -> Made:
    """Return a 101 that lacks these lines."""

    def made(key: str) -> bytes:
        lines = switching(key).decode().split("\r\n")
        return "\r\n".join(line for line in lines if line.partition(":")[0] not in names).encode()

    return made


def plain(*lines: str, body: str = "") -> Made:
    """Return an answer of other lines."""
    return lambda _: "\r\n".join([*lines, "", body]).encode("latin-1")


def replaced(old: str, new: str) -> Made:
    """Return a 101 with something else in the place of one part."""
    return lambda key: switching(key).replace(old.encode(), new.encode("latin-1"))


NO = {
    # No 101.
    "200": plain("HTTP/1.1 200 OK", "Content-Length: 5", body="hello"),
    "200 that looks like a yes": replaced("101 Switching Protocols", "200 OK"),
    "204": plain("HTTP/1.1 204 No Content"),
    "302": plain("HTTP/1.1 302 Found", "Location: http://evil.example/", "Content-Length: 0"),
    "302 that looks like a yes": replaced("101 Switching Protocols", "302 Found"),
    "404": plain("HTTP/1.1 404 Not Found", "Content-Length: 5", body="hello"),
    "407": plain("HTTP/1.1 407 Proxy Authentication Required", "Proxy-Authenticate: Basic"),
    "426": plain("HTTP/1.1 426 Upgrade Required", "Sec-WebSocket-Version: 8"),
    "500": plain("HTTP/1.1 500 Internal Server Error", "Connection: close"),
    "503": plain("HTTP/1.1 503 Service Unavailable", "Retry-After: 100000"),
    "100 first": lambda key: b"HTTP/1.1 100 Continue\r\n\r\n" + switching(key),
    "103 first": lambda key: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + switching(key),
    # No HTTP.
    "garbage": plain("garbage", "garbage"),
    "TLS": lambda _: bytes.fromhex("15030100020228") + b"\r\n\r\n",
    "a frame first": lambda key: frame("before", masked=False) + switching(key),
    "an empty line first": lambda key: b"\r\n" + switching(key),
    "a byte first": lambda key: b"x" + switching(key),
    "HTTP/1.0": replaced("HTTP/1.1", "HTTP/1.0"),
    "HTTP/2": replaced("HTTP/1.1", "HTTP/2"),
    "lower case": replaced("HTTP/1.1", "http/1.1"),
    "four digits": replaced("101 ", "1011 "),
    "two digits": replaced("101 ", "10 "),
    "a signed status": replaced("101 ", "+101 "),
    "two blanks": replaced("HTTP/1.1 101", "HTTP/1.1  101"),
    # No answer to this handshake.
    "no Upgrade": without("Upgrade"),
    "another Upgrade": yes("Upgrade: h2c"),
    "two Upgrades": yes("Upgrade: websocket", "Upgrade: websocket"),
    "a list of Upgrades": yes("Upgrade: websocket, h2c"),
    "no Connection": without("Connection"),
    "another Connection": yes("Connection: close"),
    "no accept": without("Sec-WebSocket-Accept"),
    "a wrong accept": yes(f"Sec-WebSocket-Accept: {accept_key('x3JJHMbDL1EzLkh9GBhXDw==')}"),
    "the key as accept": lambda key: switching(key, f"Sec-WebSocket-Accept: {key}"),
    "the accept in capitals": lambda key: switching(key, f"Sec-WebSocket-Accept: {accept_key(key).upper()}"),
    "two accepts": lambda key: switching(key, *[f"Sec-WebSocket-Accept: {accept_key(key)}"] * 2),
    "a wrong accept behind": lambda key: switching(
        key, f"Sec-WebSocket-Accept: {accept_key(key)}", "Sec-WebSocket-Accept: x"
    ),
    "an accept with more": lambda key: switching(key, f"Sec-WebSocket-Accept: {accept_key(key)}, x"),
    "a subprotocol that nobody offered": yes("Sec-WebSocket-Protocol: admin"),
    "wsauth's own subprotocol": yes("Sec-WebSocket-Protocol: wsauth.v1"),
    "an offer in capitals": yes("Sec-WebSocket-Protocol: CHAT"),
    "two subprotocols": yes("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"),
    "a list of subprotocols": yes("Sec-WebSocket-Protocol: chat, other"),
    "an empty subprotocol": yes("Sec-WebSocket-Protocol: "),
    "an extension that nobody offered": yes("Sec-WebSocket-Extensions: x-unknown"),
    "an extension with another": yes(DEFLATE + ", x-unknown"),
    "a parameter that nobody offered": yes(DEFLATE + "; client_max_window_bits=9"),
    "a window that there is not": yes(DEFLATE + "; server_max_window_bits=99"),
    "two extensions": yes(DEFLATE, DEFLATE),
    "a length": yes("Content-Length: 5"),
    "two lengths": yes("Content-Length: 0", "Content-Length: 0"),
    "chunks": yes("Transfer-Encoding: chunked"),
    # Headers that would split, or are none (GW-26).
    "a bare LF in a value": yes("X-Value: a\nSet-Cookie: wsauth=mallory"),
    "a bare CR in a value": yes("X-Value: a\rSet-Cookie: wsauth=mallory"),
    "a NUL in a value": yes("X-Value: a\x00b"),
    "an escape in a value": yes("X-Value: \x1b[31m"),
    "a folded line": yes("X-Value: a\r\n Set-Cookie: wsauth=mallory"),
    "a blank before the colon": yes("Set-Cookie : wsauth=mallory"),
    "a name without colon": yes("Set-Cookie"),
    "an empty name": yes(": value"),
    "lines that end with LF": lambda key: switching(key).replace(b"\r\n", b"\n") + b"\r\n\r\n",
    "a hundred and one lines": yes(*(f"X-{number}: value" for number in range(101))),
    "70 kB of headers": yes(*(f"X-{number}: {'x' * 1_000}" for number in range(70))),
    "70 kB without end": lambda _: b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 70_000,
}


def sending(made: Made) -> Play:
    """Return what answers so, and keeps the connection open."""

    async def play(upstream: Upstream) -> None:
        upstream.send(made(upstream.asked.one("sec-websocket-key")))

    return play


async def silence(_: Upstream) -> None:
    """Answer nothing."""


async def half(upstream: Upstream) -> None:
    """Answer half a head, and stop."""
    upstream.send(switching(upstream.asked.one("sec-websocket-key"))[:-2])


async def half_and_end(upstream: Upstream) -> None:
    """Answer half a head, and end TCP."""
    await half(upstream)
    upstream.writer.close()


async def end(upstream: Upstream) -> None:
    """End TCP."""
    upstream.writer.close()


async def reset(upstream: Upstream) -> None:
    """Reset TCP."""
    upstream.reset()


async def drip(upstream: Upstream) -> None:
    """Answer byte by byte, for ever."""
    upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
    while not upstream.writer.is_closing():
        upstream.send(b"x")
        await asyncio.sleep(0.1)


NONE = {
    "nothing": silence,
    "half a head": half,
    "half a head and the end": half_and_end,
    "the end": end,
    "a reset": reset,
    "a drip": drip,
}
PLAYS = {**{name: sending(made) for name, made in NO.items()}, **NONE}


@pytest.mark.parametrize("name", PLAYS)
async def test_gw_13_26_rx_21_whatever_is_no_yes_is_502(site: Site, name: str) -> None:
    """The client gets 502 in time and nothing of the upstream's, one line says why, and both sides end."""
    glued = frame("glued")
    with site.played.doing(PLAYS[name]):
        offers = (DEFLATE, "Sec-WebSocket-Protocol: chat", site.bearer())
        async with wire(site.port, request("/played", *offers), glued) as client:
            answer = await client.answer(within=TIMEOUT + 2)
            line = await site.refused(answer, 502, "upstream_unavailable")
            assert "the upstream" in line
            assert "mallory" not in line
            assert ("more than 16384 bytes" in line) is name.startswith("70 kB")
            problem = json.loads(answer.body)
            del problem["id"]  # random letters, which may be any
            said = f"{answer.headers}{problem}"
            assert [part for part in ("evil", "mallory", "hello", "xxx", "chat") if part in said] == []
            assert await client.cut(within=2)
        if name != "a drip":
            upstream = await site.played.end()
            assert glued not in await upstream.rest()


@pytest.mark.parametrize("status", [401, 403])
async def test_an_upstreams_own_denial_is_passed_on_as_ours(site: Site, status: int) -> None:
    """401 and 403 say that it knows better who may come; their headers and body are not passed on."""
    answers = {401: "credentials_invalid", 403: "permission_denied"}
    lines = (
        f"HTTP/1.1 {status} No",
        'WWW-Authenticate: Basic realm="mallory"',
        "Set-Cookie: a=mallory",
        "Content-Length: 7",
    )
    with site.played.doing(sending(plain(*lines, body="mallory"))):
        answer = await site.attempt(site.bearer(), path="/played")
    await site.refused(answer, status, answers[status])
    assert "mallory" not in f"{answer.headers}{answer.body!r}"
    assert answer.header("www-authenticate") == ("Bearer" if status == 401 else "")


@pytest.mark.parametrize(
    "name", ["200", "a wrong accept", "a subprotocol that nobody offered", "nothing", "a reset", "403"]
)
async def test_gw_13_who_authenticated_by_a_message_is_told_in_a_close_frame(site: Site, name: str) -> None:
    """There the 101 was ours: `auth_error` and a close frame say what an HTTP status would have said."""
    play = PLAYS.get(name, sending(plain("HTTP/1.1 403 Forbidden")))
    code, close = ("permission_denied", 3003) if name == "403" else ("upstream_unavailable", 1013)
    with site.played.doing(play):
        async with site.pending("/played") as client:
            client.send(auth(token=site.token()), frame("behind"))
            error = await client.message("auth_error", within=TIMEOUT + 2)
            assert (error["code"], error["closing"]) == (code, True)
            closing = await client.closed()
            assert (closing.close_code, closing.reason) == (close, code)
            await site.told(closing, code)
            assert await client.ended(within=2)


YES = {
    "as usual": (yes(), []),
    "without a reason": (replaced(" Switching Protocols", " "), []),
    "any case": (yes("upgrade: WebSocket", "connection: keep-alive, upgrade"), []),
    "a length of 0": (yes("Content-Length: 0"), []),
    "headers of its own": (yes("Set-Cookie: room=1", "X-Own: 1"), [("set-cookie", "room=1"), ("x-own", "1")]),
    "two cookies": (yes("Set-Cookie: a=1", "Set-Cookie: b=2"), [("set-cookie", "a=1"), ("set-cookie", "b=2")]),
    "between us alone": (yes("Connection: Upgrade, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Server: x", "Date: y"), []),
    "what only we say": (yes("X-Wsauth-Subject: mallory", "x_wsauth_roles: x", "Sec-WebSocket-Version: 13"), []),
    "about a body": (yes("Content-Type: text/html", "Content-Encoding: gzip"), []),
    "a subprotocol": (yes("Sec-WebSocket-Protocol: chat"), [("sec-websocket-protocol", "chat")]),
    "an extension": (yes(DEFLATE), [("sec-websocket-extensions", "permessage-deflate")]),
}


@pytest.mark.parametrize("name", YES)
async def test_a_yes_passes_with_what_is_the_clients(site: Site, name: str) -> None:
    """Of the upstream's headers those pass that are neither between it and us nor ours to say."""
    made, passed = YES[name]
    with site.played.doing(sending(made)):
        answer = await site.attempt(DEFLATE, "Sec-WebSocket-Protocol: chat", site.bearer(), path="/played")
    assert answer.status == 101
    usual = ("upgrade", "connection", "sec-websocket-accept")
    assert sorted(pair for pair in answer.headers if pair[0] not in usual) == passed
    assert answer.header("sec-websocket-accept") == accept_key("dGhlIHNhbXBsZSBub25jZQ==")


@pytest.mark.parametrize("way", ["plain", "speaking", "pending"])
async def test_what_an_upstream_sends_with_its_yes_comes_behind_ours(site: Site, way: str) -> None:
    """Frames glued to the upstream's 101 come after ours, after `auth_success` where there is one, and in order."""

    async def play(upstream: Upstream) -> None:
        key = upstream.asked.one("sec-websocket-key")
        upstream.send(switching(key), frame("first", masked=False), frame("second", masked=False)[:4])
        await asyncio.sleep(0.05)
        upstream.send(frame("second", masked=False)[4:])

    token = site.token()
    lines = {
        "plain": [f"Authorization: Bearer {token}"],
        "speaking": [f"{SPEAKS}, wsauth.bearer.{token}"],
        "pending": [],
    }
    with site.played.doing(play):
        async with wire(site.port, request("/played", *lines[way])) as client:
            assert (await client.answer()).status == 101
            if way == "pending":
                await client.message("auth_required")
                client.send(auth(token=token))
            if way != "plain":
                await client.message("auth_success")
            assert [await client.text(), await client.text()] == ["first", "second"]


GLUED = {"a message": frame("glued"), "a close frame": frame(b"\x03\xe8", CLOSE)}


@pytest.mark.parametrize("way", ["plain", "speaking"])
@pytest.mark.parametrize("glued", GLUED)
async def test_an_upstream_breaks_the_rules_with_its_yes(site: Site, way: str, glued: str) -> None:
    """A frame that no server may send is glued to the 101: both sides end in order, whatever the client has sent."""

    async def play(upstream: Upstream) -> None:
        upstream.send(switching(upstream.asked.one("sec-websocket-key")), frame("masked"))

    token = site.token()
    line = f"{SPEAKS}, wsauth.bearer.{token}" if way == "speaking" else f"Authorization: Bearer {token}"
    with site.played.doing(play):
        async with wire(site.port, request("/played", line), GLUED[glued]) as client:
            assert (await client.answer()).status == 101
            end = await client.closed()
            assert (end.close_code, end.reason) == (1013, "upstream_unavailable")
            await site.told(end, "broke RFC 6455")
            client.send(frame(b"\x03\xf5", CLOSE))
            assert await client.cut(within=2)
            upstream = await site.played.end()
            assert (await upstream.closed()).code == 1002
            upstream.send(frame(b"\x03\xea", CLOSE, masked=False))
            assert await upstream.rest() == b""


async def test_an_answer_may_come_byte_by_byte(site: Site) -> None:
    """A yes in forty pieces is a yes."""

    async def play(upstream: Upstream) -> None:
        whole = switching(upstream.asked.one("sec-websocket-key")) + frame("first", masked=False)
        await upstream.send_in_pieces(*(whole[at : at + 5] for at in range(0, len(whole), 5)))

    with site.played.doing(play):
        async with site.opened(path="/played") as client:
            assert await client.text() == "first"


async def test_the_key_is_not_the_clients_where_the_client_was_answered_first(site: Site) -> None:
    """A client that authenticates by a message has its 101 already; its key is used up, and no offer of it passes."""
    async with site.pending("/played", DEFLATE, "Sec-WebSocket-Protocol: chat") as client:
        client.send(auth(token=site.token()))
        await client.message("auth_success")
    (head,) = site.played.heads
    assert head.one("sec-websocket-key") != "dGhlIHNhbXBsZSBub25jZQ=="
    assert head.all("sec-websocket-extensions") == []
    assert head.one("sec-websocket-protocol") == "chat"
