"""ATTACKS.md GW-10 and GW-11: what comes behind a request on a connection that lives on is read as strictly as a first.

One port speaks HTTP and WebSocket: a proxy in front may keep its connections alive and send a handshake on one of them.
"""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tests.attacks.gateway import SPEAKS, Site, gateway
from tests.attacks.wire import PATIENCE, Wire, frame, request, wire

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
"""
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module."""
    async with gateway(tmp_path_factory.mktemp("kept"), CONFIG) as found:
        yield found


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway, and see afterwards that the same process serves the next client."""
    yield running
    await running.serves_the_next()
    running.played.forget()


@pytest.fixture
async def used(site: Site) -> AsyncGenerator[Wire]:
    """Give a connection on which a request was answered already."""
    async with wire(site.port, HEALTH) as client:
        assert (await client.answer()).body == b"ok"
        yield client


def post(*lines: str, body: bytes = b"{}") -> bytes:
    """Return a request with a body, which is refused by the application."""
    usual = ["POST /auth/login HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *lines]
    return "\r\n".join([*usual, "", ""]).encode() + body


async def everything(client: Wire) -> bytes:
    """Return all that comes until the server ends TCP."""
    whole = b""
    async with asyncio.timeout(PATIENCE):
        while data := await client.reader.read(65_536):
            whole += data
    return whole


async def test_a_handshake_may_come_second_and_is_like_a_first(site: Site, used: Wire) -> None:
    """The upstream sees the same head, over plain http, from the same client; the frames flow."""
    bearer = site.bearer()
    async with wire(site.port, request("/played", bearer)) as first:
        assert (await first.answer()).status == 101
    used.send(request("/played", bearer), frame("glued"))
    assert (await used.answer()).status == 101
    heads = [[line for line in head.headers if line[0] != "x-wsauth-assertion"] for head in site.played.heads]
    assert heads[0] == heads[1]
    assert site.played.heads[1].one("x-forwarded-proto") == "http"
    await site.played.end()
    upstream = await site.played.end()
    assert (await upstream.message()).payload == b"glued"


@pytest.mark.parametrize("way", ["header", "subprotocol", "message"])
async def test_every_source_counts_on_it(site: Site, used: Wire, way: str) -> None:
    """A handshake that comes second authenticates in every way, and what is glued to it waits."""
    token = site.token()
    lines = {"header": [f"Authorization: Bearer {token}"], "subprotocol": [f"{SPEAKS}, wsauth.bearer.{token}"]}
    used.send(request("/ws", *lines.get(way, [])))
    assert (await used.answer()).status == 101
    if way == "message":
        await used.message("auth_required")
        used.send(frame(f'{{"type":"auth","token":"{token}"}}'), frame("hi"))
    else:
        used.send(frame("hi"))
    if way != "header":
        await used.message("auth_success")
    assert await used.text() == "alice: hi"


async def test_nobody_gets_in_by_coming_second(site: Site, used: Wire) -> None:
    """A forged token is refused, TCP ends, and neither its frames nor a request behind it are answered."""
    before = len(site.echo.subjects)
    used.send(request("/ws", f"Authorization: Bearer {site.forged()}"), frame("by mallory"), HEALTH)
    answer = await used.answer()
    await site.refused(answer, 401, "token_invalid")
    assert await everything(used) == b""
    assert len(site.echo.subjects) == before
    assert "by mallory" not in site.echo.delivered


SECOND = {
    "two hosts": (request("/ws", "Host: 127.0.0.1", "Host: evil.example"), 400),
    "no host": (request("/ws", without=("Host",)), 400),
    "another host": (request("/ws", "Host: evil.example"), 421),
    "a body": (request("/ws", "Content-Length: 5") + b"hello", 400),
    "a chunked body": (request("/ws", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "another version": (request("/ws", "Sec-WebSocket-Version: 8"), 426),
    "two keys": (request("/ws", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: x"), 400),
    "not GET": (request("/ws", start="POST /ws HTTP/1.1"), 405),
    "HTTP/1.0": (request("/ws", start="GET /ws HTTP/1.0"), 400),
    "a bare LF": (request("/ws").replace(b"\r\nUpgrade", b"\nUpgrade"), 400),
    "70 kB": (request("/ws", "X: " + "x" * 70_000), 431),
    "70 kB without end": (b"GET /ws HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    "a thousand lines": (request("/ws", *(f"X-{number}: x" for number in range(1_000))), 431),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "an empty line": (b"\r\n\r\n" + request("/ws"), 400),
    "a tunnel": (b"CONNECT evil.example:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", SECOND)
async def test_gw_10_11_a_bad_second_head_is_refused_as_a_first_would_be(site: Site, used: Wire, name: str) -> None:
    """The status is the same, one line tells why, and the connection ends with it."""
    head, status = SECOND[name]
    for client in (used, None):
        async with wire(site.port) as fresh:
            asked = client or fresh
            asked.send(head)
            answer = await asked.answer()
            assert answer.status == status, answer
            await site.told(answer, "request_invalid")
            assert await asked.cut(within=2)


async def test_half_a_second_head_ends_at_one_deadline(site: Site, used: Wire) -> None:
    """408, although a byte comes now and then."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    used.send(request("/ws")[:40])
    while loop.time() - began < TIMEOUT * 0.8:
        await asyncio.sleep(0.1)
        used.send(b"x")
    answer = await used.answer()
    assert answer.status == 408
    await site.told(answer, "not whole within")
    assert loop.time() - began < TIMEOUT * 3
    assert await used.cut(within=2)


async def test_a_handshake_behind_a_request_is_answered_behind_it(site: Site) -> None:
    """Two requests in one segment are answered in their order, and never at once."""
    async with wire(site.port, HEALTH, request("/ws", site.bearer()), frame("glued")) as client:
        assert (await client.answer()).body == b"ok"
        assert (await client.answer()).status == 101
        assert await client.text() == "alice: glued"


async def test_a_handshake_behind_a_body_is_answered_behind_it(site: Site) -> None:
    """A request with a body goes first, however the bytes are cut."""
    behind = request("/ws", site.bearer()) + frame("glued")
    whole = post("Content-Length: 2") + behind
    for cut in (len(whole), len(whole) - len(behind) - 1, len(whole) - len(behind), len(whole) - 40):
        async with wire(site.port, whole[:cut]) as client:
            await asyncio.sleep(0.02)  # so that the server reads it in two
            client.send(whole[cut:])
            assert 400 <= (await client.answer()).status < 500
            assert (await client.answer()).status == 101
            assert await client.text() == "alice: glued"


async def test_nothing_counts_behind_a_chunked_body(site: Site) -> None:
    """Where such a body ends only one parser knows, so what comes behind it is never read."""
    before = len(site.echo.subjects)
    body = b"2\r\n{}\r\n0\r\n\r\n"
    for sent in (body, b"2;ext=1\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\nHost: evil.example\r\n\r\n"):
        async with wire(
            site.port, post("Transfer-Encoding: chunked", body=sent), request("/ws", site.bearer())
        ) as client:
            assert (await everything(client)).count(b"HTTP/1.1 ") == 1
    assert len(site.echo.subjects) == before


SMUGGLED = {
    "length and chunks": post("Content-Length: 2", "Transfer-Encoding: chunked"),
    "chunks and length": post("Transfer-Encoding: chunked", "Content-Length: 2"),
    "two lengths": post("Content-Length: 2", "Content-Length: 30"),
    "the same length twice": post("Content-Length: 2", "Content-Length: 2"),
    "a list of lengths": post("Content-Length: 2, 2"),
    "a signed length": post("Content-Length: +2"),
    "a hexadecimal length": post("Content-Length: 0x2"),
    "two codings": post("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "a list of codings": post("Transfer-Encoding: gzip, chunked"),
    "an unknown coding": post("Transfer-Encoding: xchunked"),
    "a tab in the coding": post("Transfer-Encoding:\tchunked\x0b"),
    "a space before the colon": post("Transfer-Encoding : chunked"),
    "a folded line": post("X: 1\r\n Transfer-Encoding: chunked"),
    "a bare LF": post("X: 1\nTransfer-Encoding: chunked"),
    "a bare CR": post("X: 1\rTransfer-Encoding: chunked"),
    "a NUL": post("X: 1\x00"),
    "a name without colon": post("Transfer-Encoding"),
    "an empty name": post(": chunked"),
    "a coding in HTTP/1.0": post("Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a length that is too large": post("Content-Length: 99999999999999999999"),
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_gw_10_nothing_is_smuggled(site: Site, name: str) -> None:
    """A request that two readers could end in two places gets 400, TCP ends, and what is behind it is never read."""
    before = len(site.echo.subjects)
    async with wire(site.port, SMUGGLED[name], request("/ws", site.bearer())) as mallory:
        answer = await mallory.answer()
        assert answer.status == 400
        await site.told(answer, "request_invalid")
        assert await everything(mallory) == b""
    assert len(site.echo.subjects) == before


async def test_gw_11_a_handshake_with_a_body_opens_nothing(site: Site) -> None:
    """A second request that stands in the body of the handshake is never answered."""
    before = len(site.echo.subjects)
    inner = request("/ws", site.bearer())
    for line in (f"Content-Length: {len(inner)}", "Transfer-Encoding: chunked", "Content-Length: 1"):
        async with wire(site.port, request("/ws", site.bearer(), line), inner) as mallory:
            await site.refused(await mallory.answer(), 400, "request_invalid")
            assert await everything(mallory) == b""
    assert len(site.echo.subjects) == before


@pytest.mark.parametrize("protocol", ["h2c", "WebSocket, h2c", "TLS/1.0", "websocket2"])
async def test_an_upgrade_to_something_else_is_no_upgrade(site: Site, used: Wire, protocol: str) -> None:
    """The request is answered over HTTP/1.1 as if nothing had been asked, and the connection goes on as it was."""
    used.send(
        f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n".encode()
    )
    assert (await used.answer()).body == b"ok"
    used.send(HEALTH)
    assert (await used.answer()).body == b"ok"
