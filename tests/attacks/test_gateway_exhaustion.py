"""ATTACKS.md, group "Resource exhaustion", against the gateway: every test is named by its row.

Elsewhere: RX-03 in end_to_end/test_tls.py; RX-06 in end_to_end/test_gateway_ends.py; RX-09 in
test_gateway_handshake.py; RX-17 in end_to_end/test_gateway_network.py; RX-18 in end_to_end/test_gateway_ends.py and
test_gateway_workers.py; RX-21 in test_gateway_answers.py and end_to_end/test_gateway_faults.py. RX-05, and the limits
per source of RX-10, come with the limits; RX-22 with issuers that are asked.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from tests.attacks.gateway import Site, Upstream, auth, gateway, switching
from tests.attacks.wire import CLOSE, TEXT, Wire, frame, request, wire
from tests.wsauth_sockets import admin, eventually

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
max_message = "1MiB"

[[routes]]
path = "/gone"
upstream = "ws://127.0.0.1:9"
"""
KIB = 1_024
MIB = 1_024 * KIB
STUCK = 100 * MIB
"""Bytes that the kernel may hold for somebody who does not read (tcp_rmem, tcp_wmem); we hold next to none."""


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module."""
    async with gateway(tmp_path_factory.mktemp("exhaustion"), CONFIG) as found:
        yield found


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway, and see afterwards that the same process serves the next client."""
    running.played.forget()
    yield running
    await running.serves_the_next()
    assert "Traceback" not in running.serving.output()


def threads(site: Site) -> int:
    """Return how many threads the process has."""
    return len(list(Path(f"/proc/{site.serving.pid}/task").iterdir()))


async def answered(client: Wire, until: "asyncio.Future[list[None]]") -> int:
    """Return how many of Alice's messages, sent one after another, came back before something was over."""
    count = 0
    while not until.done():
        client.send(frame("still here"))
        assert await client.text() == "alice: still here"
        count += 1
    return count


# Before a head is whole.


@pytest.mark.parametrize(
    "sent", [b"", b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"\r"], ids=["idle", "half", "a byte"]
)
async def test_rx_01_silence_ends_at_the_deadline(site: Site, sent: bytes) -> None:
    """Who connects and says nothing, or half a head, is closed in `request_timeout`; 408 where there was a byte."""
    files = site.descriptors
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(wire(site.port, sent)) for _ in range(50)]
        for client in clients:
            answer = await client.answer()
            assert answer.status == (408 if sent else 0)
            assert await client.cut(within=2)
        assert time.monotonic() - began < TIMEOUT + 1.5
    assert await eventually(lambda: is_true(site.descriptors <= files))


async def is_true(found: bool) -> bool:
    """Return it, for `eventually`."""
    return found


@pytest.mark.parametrize("head", [request("/ws")[:-2], b"GET /" + b"x" * 5_000, b"POST /auth/login HTTP/1.1\r\nX: "])
async def test_rx_02_a_head_that_drips_ends_at_the_same_deadline(site: Site, head: bytes) -> None:
    """A byte now and then moves nothing."""
    began = time.monotonic()
    async with wire(site.port, head) as mallory:
        answering = asyncio.create_task(mallory.answer())
        while not answering.done():
            mallory.send(b"x")
            await asyncio.wait({answering}, timeout=0.1)
            assert time.monotonic() - began < TIMEOUT + 1.5
        assert (await answering).status == 408


# Who does not read.


async def flood(send: Callable[[bytes], None], drain: Callable[[], Awaitable[None]], stop: int) -> int:
    """Send messages of 64 KiB until the other side takes no more for half a second, and return the bytes sent."""
    part = bytes(64 * KIB)
    sent = 0
    while sent < stop:
        send(part)
        sent += len(part)
        try:
            async with asyncio.timeout(0.5):
                await drain()
        except TimeoutError:
            return sent
    return sent


@pytest.mark.parametrize("way", ["open", "speaking"])
async def test_rx_07_gw_21_a_client_that_does_not_read_holds_its_upstream_back(site: Site, way: str) -> None:
    """What is taken is what the kernel holds; our memory stays flat; when it reads again it gets all, in order."""
    opening = site.opened(path="/played") if way == "open" else site.speaking("/played")
    async with opening as client:
        upstream = await site.played.end()
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # nothing else stops a StreamReader
        upstream.writer.transport.set_write_buffer_limits(64 * KIB)
        before = site.resident
        head = bytes([0x82, 126]) + (60_000).to_bytes(2)
        number, sent = 0, 0
        while sent < 3 * STUCK:
            upstream.send(head + number.to_bytes(4) + bytes(59_996))
            number, sent = number + 1, sent + 60_004
            try:
                async with asyncio.timeout(0.5):
                    await upstream.writer.drain()
            except TimeoutError:
                break
        assert sent < STUCK
        assert site.resident - before < 2 * MIB
        await site.serves_the_next()
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]  # see above
        for expected in range(number):
            found = await client.frame()
            assert found is not None
            assert int.from_bytes(found.payload[:4]) == expected


@pytest.mark.parametrize("way", ["open", "speaking"])
async def test_rx_07_gw_21_an_upstream_that_does_not_read_holds_its_client_back(site: Site, way: str) -> None:
    """The same the other way: a client cannot fill us; when the upstream reads again it gets all, in order."""
    opening = site.opened(path="/played") if way == "open" else site.speaking("/played")
    async with opening as client:
        upstream = await site.played.end()
        upstream.reader._transport.pause_reading()  # type: ignore[attr-defined]  # nothing else stops a StreamReader
        client.writer.transport.set_write_buffer_limits(64 * KIB)
        before = site.resident
        number, sent = 0, 0
        while sent < 3 * STUCK:
            part = frame(number.to_bytes(4) + bytes(59_996))
            client.send(part)
            number, sent = number + 1, sent + len(part)
            try:
                async with asyncio.timeout(0.5):
                    await client.writer.drain()
            except TimeoutError:
                break
        assert sent < STUCK
        assert site.resident - before < 2 * MIB
        await site.serves_the_next()
        upstream.reader._transport.resume_reading()  # type: ignore[attr-defined]  # see above
        for expected in range(number):
            assert int.from_bytes((await upstream.message()).payload[:4]) == expected


async def test_rx_07_an_end_drops_what_somebody_does_not_read(site: Site) -> None:
    """A revocation does not wait for a client that does not read: it is cut, and its upstream told."""
    key = await site.serving.add_service("ops", grants=["wsauth:revoke"])
    async with site.opened(site.bearer("mallory"), path="/played") as mallory:
        upstream = await site.played.end()
        mallory.reader._transport.pause_reading()  # type: ignore[attr-defined]  # nothing else stops a StreamReader
        with suppress(ConnectionError):
            await flood(lambda part: upstream.send(frame(part, masked=False)), upstream.writer.drain, STUCK)
        async with admin(site.serving, key) as api:
            report = (await api.post("/revocations", json={"subject": "mallory", "issuer": "wsauth"})).json()
        assert (report["matched"], report["cut"], report["complete"]) == (1, 1, True)
        told = await upstream.receive()
        assert (told.opcode, told.code) == (CLOSE, 3000)


# What is cheap for them must be cheap for us.


async def test_rx_10_a_flood_of_bad_tokens_lets_others_through(site: Site) -> None:
    """While a thousand forged tokens are refused one by one, Alice is answered again and again."""
    forged = [site.forged() for _ in range(20)]
    numbers = iter(range(1_000))
    statuses: list[int] = []

    async def attack() -> None:
        for number in numbers:
            statuses.append((await site.attempt(f"Authorization: Bearer {forged[number % 20]}")).status)

    before = len(site.echo.subjects)
    async with site.opened() as alice:
        attacking = asyncio.gather(*(attack() for _ in range(20)))
        assert await answered(alice, attacking) > 5
        await attacking
    assert statuses == [401] * 1_000
    assert len(site.echo.subjects) == before + 1


async def test_rx_11_who_is_not_authenticated_costs_little_memory(site: Site) -> None:
    """Five hundred pending connections, twice, take less than 32 KiB each: the second time what the first gave back."""
    count, before, files = 500, site.resident, site.descriptors
    for _ in range(2):
        async with AsyncExitStack() as stack:
            for _ in range(count):
                await stack.enter_async_context(site.pending())
            assert site.descriptors == files + count
            assert site.resident - before < 32 * KIB * count
        assert await eventually(lambda: is_true(site.descriptors <= files))


async def test_rx_14_a_burst_of_a_hundred_thousand_messages_makes_no_tasks_and_no_threads(site: Site) -> None:
    """They pass in order, and memory and threads are as before."""
    count = 100_000
    for opening in (site.opened(path="/played"), site.speaking("/played")):
        async with opening as client:
            upstream = await site.played.end()
            before, beings = site.resident, threads(site)
            whole = b"".join(frame(number.to_bytes(4)) for number in range(1_000))
            reading = asyncio.create_task(upstream.reader.readexactly(count // 1_000 * len(whole)))
            for _ in range(count // 1_000):
                client.send(whole)
                await client.writer.drain()
            async with asyncio.timeout(30):
                assert await reading == whole * (count // 1_000)
            assert threads(site) == beings
            assert site.resident - before < 4 * MIB


# What nobody foresaw.


def spoilt(draw: random.Random, data: bytes) -> bytes:
    """Return bytes in which some are changed, missing or too many."""
    found = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(found) + 1)
        if draw.random() < 0.4:
            found[at : at + 1] = draw.randbytes(1)
        elif draw.random() < 0.6:
            found[at:at] = draw.choice((draw.randbytes(3), b"\r\n", b"\n", b"\0", b":", b", ", b"\x88\x80abcd"))
        else:
            del found[at : at + draw.randint(1, 9)]
    return bytes(found)


async def misbehave(site: Site, draw: random.Random, token: str) -> None:
    """Be a client that sends a head and frames, some of them spoilt, and leaves at any moment."""
    lines = draw.choice(
        ([f"Authorization: Bearer {token}"], [f"Sec-WebSocket-Protocol: wsauth.v1, wsauth.bearer.{token}"], [])
    )
    head = request(draw.choice(("/ws", "/played")), *lines)
    said = (
        *(frame("x" * 200), frame("a", fin=False), frame("b", 0), frame(b"p", 9), frame(b"\x03\xe8", CLOSE)),
        *(auth(token=token), auth(token="x"), frame("y" * 20_000), frame(b"binary")),
    )
    frames = b"".join(draw.choices(said, k=draw.randint(0, 8)))
    head, frames = (spoilt(draw, each) if draw.random() < 0.4 else each for each in (head, frames))
    async with wire(site.port, head, frames if draw.random() < 0.5 else b"") as client:
        with suppress(TimeoutError):
            await client.answer(within=TIMEOUT + 0.5)
        client.send(frames)
        if draw.random() < 0.3:
            with suppress(OSError):
                client.writer.write_eof()
        if draw.random() < 0.5:
            await client.cut(within=draw.random() / 2)


async def test_rx_15_no_bytes_end_the_process_or_are_an_error_of_its_own(site: Site) -> None:
    """Six hundred clients and their upstreams send spoilt heads and frames, and leave; nothing of them stays."""
    draw, files = random.Random(15), site.descriptors
    token = site.token()

    async def play(upstream: Upstream) -> None:
        yes = switching(upstream.asked.one("sec-websocket-key"))
        more = frame("hello", masked=False) + frame('{"type":"auth_x"', fin=False, masked=False)
        upstream.send(spoilt(draw, yes + more) if draw.random() < 0.7 else yes + more)
        upstream.send(spoilt(draw, frame("z" * draw.randint(0, 70_000), masked=False)))
        if draw.random() < 0.5:
            upstream.writer.close()

    with site.played.doing(play):
        for _ in range(15):
            await asyncio.gather(*(misbehave(site, draw, token) for _ in range(40)))
    site.played.forget()
    assert await eventually(lambda: is_true(site.descriptors <= files), within=10)
    for wrong in ("Traceback", "ERROR"):
        assert wrong not in site.serving.output()


# Nothing is left.


async def cycle(site: Site, kind: str, token: str, forged: str) -> None:
    """Come and go in one way."""
    good, bad = f"Authorization: Bearer {token}", f"Authorization: Bearer {forged}"
    sent = {
        "nothing": b"",
        "half a head": request("/ws", good)[:50],
        "a bad head": b"garbage\r\n\r\n",
        "another host": request("/ws", "Host: evil.example"),
        "http": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "refused": request("/ws", bad),
        "no upstream": request("/gone", good),
        "cut at once": request("/ws", good),
    }
    if kind in sent:
        async with wire(site.port, sent[kind]) as client:
            if kind not in ("nothing", "half a head", "cut at once"):
                await client.answer()
        return
    opening = {"pending": site.pending, "wrong": site.pending, "closed": site.opened, "cut": site.opened}[kind]
    async with opening() if kind in ("pending", "wrong") else site.opened(good) as client:
        if kind == "wrong":
            client.send(auth(token=forged))
            await client.message("auth_error")
        elif kind == "closed":
            client.send(frame("bye"), frame(b"\x03\xe8", CLOSE))
            await client.closed()
        elif kind == "cut":
            client.send(frame("unfinished", TEXT, fin=False))


KINDS = [
    *("nothing", "half a head", "a bad head", "another host", "http", "refused", "no upstream", "cut at once"),
    *("pending", "wrong", "closed", "cut"),
]


async def test_rx_13_nothing_is_left_of_who_came_and_went(site: Site) -> None:
    """After twelve hundred that came and went in twelve ways, descriptors, connections and memory are as before."""
    token, forged = site.token(), site.forged()
    key = await site.serving.add_service("metrics", grants=["wsauth:admin"])
    files = 0

    async def round_(times: int) -> None:
        for _ in range(times):
            await asyncio.gather(*(cycle(site, kind, token, forged) for kind in KINDS))

    async def settled() -> bool:
        return site.descriptors <= files and not site.echo.open

    await round_(20)
    await asyncio.sleep(TIMEOUT + 0.5)  # until what was left half is closed
    files, before = site.descriptors, site.resident
    await round_(100)
    assert await eventually(settled, within=TIMEOUT + 5)
    assert site.resident - before < 4 * MIB
    async with admin(site.serving, key) as api:
        assert (await api.get("/connections")).json()["items"] == []
