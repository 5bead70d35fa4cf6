"""The gateway in front of upstreams that die, hang, refuse or do not read, and of clients that do not either.

Everything else goes on meanwhile, memory is bounded, and the process has as many descriptors afterwards as before.
Elsewhere: what upstreams answer to a handshake in attacks/test_gateway_answers.py; ends and limits in
test_gateway_ends.py; a network that is cut in test_gateway_network.py; a killed worker in test_gateway_workers.py.
"""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.gateway import ORIGIN, Site, Upstream, echoing, gateway
from tests.attacks.wire import CLOSE, Wire, frame, request, wire
from tests.end_to_end.backends.running import free_port
from tests.wsauth_sockets import eventually

TIMEOUT = 1.0
CONFIG = f"""
[server]
origins = ["{ORIGIN}"]
request_timeout = "{TIMEOUT:g}s"

[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{{echo}}"

[[routes]]
path = "/played"
upstream = "ws://127.0.0.1:{{played}}"

[[routes]]
path = "/socket"
upstream = "unix:{{socket}}"
"""
KIB = 1_024


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module that share one."""
    async with gateway(tmp_path_factory.mktemp("faults"), CONFIG) as found:
        await found.serves_the_next()
        yield found


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway, and see that nobody else is harmed and nothing is left."""
    async with running.unharmed():
        yield running


ways = pytest.mark.parametrize("way", ["plain", "speaking"])


# An upstream dies.


DEATHS: dict[str, Callable[[Upstream], None]] = {
    "ends": lambda upstream: upstream.writer.close(),
    "resets": lambda upstream: upstream.reset(),
}
MOMENTS = {
    "between": b"",
    "within a frame": frame("x" * 60_000, masked=False)[:30_000],
    "within a header": frame("x" * 60_000, masked=False)[:3],
    "within a message": frame("unfinished", fin=False, masked=False),
}


@ways
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("death", DEATHS)
async def test_an_upstream_that_dies_ends_its_client(site: Site, way: str, death: str, moment: str) -> None:
    """1013 where a close frame may stand, else TCP is cut: nothing unfinished is ever finished. It may come back."""
    async with site.paired(way) as (client, upstream):
        upstream.send(frame("before", masked=False), MOMENTS[moment])
        assert await client.text() == "before"
        await asyncio.sleep(0.02)
        DEATHS[death](upstream)
        got = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(5):
                while data := await client.reader.read(65_536):
                    got += data
                    if b"upstream_unavailable;id" in got:
                        client.send(frame(b"\x03\xf5", CLOSE))
        closing = got.partition(b"\x88")[2] if moment != "within a frame" else b""
        if moment == "within a frame":
            assert b"upstream_unavailable" not in got
        else:
            assert closing[1:3] == (1013).to_bytes(2)
            assert closing[3:].startswith(b"upstream_unavailable;id=")
    async with site.paired(way) as (client, upstream):
        upstream.send(frame("again", masked=False))
        assert await client.text() == "again"


async def test_a_killed_upstream_ends_all_its_clients_and_no_others(site: Site) -> None:
    """Of fifty connections each gets 1013; one line of the log for each."""
    async with AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(site.paired("plain")) for _ in range(50)]
        for _, upstream in pairs:
            upstream.reset()
        ends = await asyncio.gather(*(client.closed() for client, _ in pairs))
        assert {(end.close_code, end.reason) for end in ends} == {(1013, "upstream_unavailable")}
        for end in ends:
            await site.told(end, "the upstream")
        assert all(await asyncio.gather(*(client.ended() for client, _ in pairs)))


# Several addresses.


@dataclass
class Addresses:
    """Be echoes at three addresses, each of which may be switched off and on."""

    ports: Sequence[int]
    stack: dict[int, AsyncExitStack]
    came: dict[int, list[str]]

    async def on(self, at: int) -> None:
        """Listen at one address."""
        self.stack[at] = AsyncExitStack()
        echo = await self.stack[at].enter_async_context(echoing(port=self.ports[at]))
        self.came[at] = echo.subjects

    async def off(self, at: int) -> None:
        """Listen there no more."""
        await self.stack.pop(at).aclose()


@asynccontextmanager
async def addresses(folder: Path) -> AsyncGenerator[tuple[Site, Addresses]]:
    """Run a gateway in front of three addresses, all of which listen."""
    found = Addresses([free_port() for _ in range(3)], {}, {})
    urls = ", ".join(f'"ws://127.0.0.1:{port}"' for port in found.ports)
    route = f'\n[[routes]]\npath = "/list"\nupstream = [{urls}]\nupstream_timeout = "1s"\n'
    async with gateway(folder, CONFIG + route) as site:
        try:
            for at in range(3):
                await found.on(at)
            yield site, found
        finally:
            for at in list(found.stack):
                await found.off(at)


async def visit(site: Site, times: int, path: str = "/list") -> None:
    """Open so many connections, one after the other, and see that somebody answers."""
    for _ in range(times):
        async with site.opened(path=path) as client:
            client.send(frame("hi"))
            assert await client.text() == "alice: hi"


async def test_addresses_take_turns_and_a_dead_one_is_left_alone(tmp_path: Path) -> None:
    """Three share alike; when one is gone nobody notices; when all are, 502 at once; each comes back by itself."""
    async with addresses(tmp_path) as (site, three):
        await visit(site, 9)
        assert [len(three.came[at]) for at in range(3)] == [3, 3, 3]
        await three.off(1)
        await visit(site, 12)
        assert min(len(three.came[0]), len(three.came[2])) >= 8
        assert site.serving.output().count(f"127.0.0.1:{three.ports[1]} was not reached") <= 2
        await three.off(0)
        await three.off(2)
        began = time.monotonic()
        answer = await site.attempt(site.bearer(), path="/list")
        assert time.monotonic() - began < 1
        await site.refused(answer, 502, "upstream_unavailable")
        await three.on(2)
        await visit(site, 4)
        assert len(three.came[2]) == 4

        await three.on(1)
        await three.on(0)

        async def all_of_them() -> bool:
            await visit(site, 3)
            return len(three.came[0]) > 0 and len(three.came[1]) > 0

        assert await eventually(all_of_them, within=8)


@asynccontextmanager
async def deaf(port: int) -> AsyncGenerator[None]:
    """Listen and never accept, with a full backlog: whoever connects there hears nothing at all."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(0)
        filling = [socket.socket() for _ in range(3)]
        for each in filling:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(("127.0.0.1", port))
        await asyncio.sleep(0.05)
        try:
            yield
        finally:
            for each in filling:
                each.close()


async def test_an_address_that_is_silent_costs_its_time_once(tmp_path: Path) -> None:
    """The next one is tried after `upstream_timeout`; then it is left alone, also where there is no other one."""
    async with addresses(tmp_path) as (site, three), AsyncExitStack() as silence:
        await three.off(0)
        await silence.enter_async_context(deaf(three.ports[0]))
        began = time.monotonic()
        await asyncio.gather(*(visit(site, 1) for _ in range(6)))
        assert 0.9 < time.monotonic() - began < 3
        began = time.monotonic()
        await visit(site, 6)
        assert time.monotonic() - began < 0.9
        for at in (1, 2):
            await three.off(at)
            await silence.enter_async_context(deaf(three.ports[at]))
        answer = await site.attempt(site.bearer(), path="/list")
        await site.refused(answer, 502, "upstream_unavailable")
        began = time.monotonic()
        for _ in range(5):
            await site.refused(await site.attempt(site.bearer(), path="/list"), 502, "upstream_unavailable")
        assert time.monotonic() - began < 0.9
        await silence.aclose()
        await three.on(1)
        assert await eventually(lambda: answers(site, "/list"), within=8)


async def answers(site: Site, path: str) -> bool:
    """Tell whether a handshake is accepted."""
    return (await site.attempt(site.bearer(), path=path)).status == 101


async def test_somebody_who_hangs_up_while_the_upstream_is_silent_leaves_nothing(site: Site) -> None:
    """Clients that reset TCP before the upstream has answered are gone when its time is over."""

    async def silence(_: Upstream) -> None:
        """Answer nothing."""

    with site.played.doing(silence):
        for _ in range(30):
            async with wire(site.port, request("/played", site.bearer())):
                await site.played.end()
    await site.serves_the_next()


# Nobody reads.


SMALL = 16 * KIB
"""Bytes of a buffer, so that the kernel takes little."""
MANY = 100
MOST = 3_000 * KIB
"""Bytes that are written to each. A unix socket takes far fewer; of TCP the kernel may take megabytes (tcp_rmem)."""


@asynccontextmanager
async def narrow(port: int, *parts: bytes) -> AsyncGenerator[Wire]:
    """Connect with a small receive buffer, and segments as a real network has them: loopback's fill megabytes."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    narrow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_460)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=narrow)
    found = Wire(reader, writer)
    try:
        found.send(*parts)
        yield found
    finally:
        writer.transport.abort()


async def fill(writer: asyncio.StreamWriter, part: bytes, most: int) -> int:
    """Write until the other side takes no more for half a second; return how many bytes it took."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * SMALL)
    writer.transport.set_write_buffer_limits(len(part))
    sent = 0
    while sent < most:
        writer.write(part)
        sent += len(part)
        try:
            async with asyncio.timeout(0.5):
                await writer.drain()
        except TimeoutError:
            return sent
    return sent


@ways
async def test_a_hundred_clients_that_do_not_read_cost_a_bounded_memory(site: Site, way: str) -> None:
    """Their upstreams are held back: less than 256 KiB stay with us for each; Bob is served, and all of it comes."""
    part = frame(bytes(60_000), masked=False)
    lines = [site.bearer()] if way == "plain" else ["Sec-WebSocket-Protocol: wsauth.v1", site.bearer()]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(narrow(site.port, request("/socket", *lines))) for _ in range(MANY)]
        for client in clients:
            assert (await client.answer()).status == 101
        upstreams = [await site.played.end() for _ in clients]
        for client in clients:
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # nothing else stops a StreamReader
        before = site.resident
        sent = await asyncio.gather(*(fill(upstream.writer, part, MOST) for upstream in upstreams))
        assert max(sent) < MOST
        each = (site.resident - before) / MANY
        assert each < 256 * KIB, each
        await site.serves_the_next()
        for client in clients[:10]:
            client.reader._transport.resume_reading()  # type: ignore[attr-defined]  # see above
            if way == "speaking":
                await client.message("auth_success")
            for _ in range(5):
                found = await client.frame()
                assert found is not None
                assert len(found.payload) == 60_000


@ways
async def test_a_hundred_upstreams_that_do_not_read_cost_a_bounded_memory(site: Site, way: str) -> None:
    """Their clients are held back, and the other connections are not."""
    part = frame(bytes(60_000))

    async def deaf_one(upstream: Upstream) -> None:
        upstream.accept()
        upstream.reader._transport.pause_reading()  # type: ignore[attr-defined]  # nothing else stops a StreamReader

    async with AsyncExitStack() as stack:
        with site.played.doing(deaf_one):
            opened = [site.opened if way == "plain" else site.speaking for _ in range(MANY)]
            clients = [await stack.enter_async_context(each(path="/socket")) for each in opened]
            for _ in clients:
                await site.played.end()
        before = site.resident
        await asyncio.gather(*(fill(client.writer, part, MOST) for client in clients))
        each = (site.resident - before) / MANY
        assert each < 256 * KIB, each
        await site.serves_the_next()
