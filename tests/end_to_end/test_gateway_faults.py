"""The gateway when something fails: upstreams that die, hang or do not read, clients that vanish, no more descriptors.

Everything else goes on meanwhile, memory is bounded, and the process has as many descriptors afterwards as before.
Elsewhere: upstreams that end within a frame in rfc6455/test_upstream_frames.py; what they answer to a handshake in
attacks/test_gateway_answers.py; a worker that is killed in test_gateway_workers.py.
"""

import asyncio
import re
import resource
import signal
import socket
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.gateway import ORIGIN, Site, Upstream, auth, echoing, gateway
from tests.attacks.wire import CLOSE, PING, PONG, TEXT, Wire, frame, request, wire
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
max_message = "64KiB"

[[routes]]
path = "/socket"
upstream = "unix:{{socket}}"

[[routes]]
path = "/brief"
upstream = "ws://127.0.0.1:{{played}}"
max_connection_age = "2s"
grace = "10s"

[[routes]]
path = "/idle"
upstream = "ws://127.0.0.1:{{played}}"
idle_timeout = "1500ms"
"""
KIB = 1_024
CONT = 0


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module that share one."""
    async with gateway(tmp_path_factory.mktemp("faults"), CONFIG) as found:
        await found.serves_the_next()
        yield found


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway with a connection that goes on all the time, and see that nothing of the test is left."""
    running.played.forget()

    async def as_before() -> bool:
        return descriptors(running) <= before

    async with running.opened(running.bearer("bob")) as bob:
        before = descriptors(running)
        yield running
        bob.send(frame("still here"))
        assert await bob.text() == "bob: still here"
        running.played.forget()
        assert await eventually(as_before, within=8), (descriptors(running), before)
    assert "Traceback" not in running.serving.output()


def descriptors(site: Site) -> int:
    """Return how many descriptors the process has open."""
    return len(list(Path(f"/proc/{site.serving.pid}/fd").iterdir()))


def resident(site: Site) -> int:
    """Return the bytes of memory that the process has."""
    text = Path(f"/proc/{site.serving.pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Rss: +(\d+) kB", text, re.MULTILINE)[0]) * KIB


@asynccontextmanager
async def connected(site: Site, way: str, path: str = "/played") -> AsyncGenerator[tuple[Wire, Upstream]]:
    """Open a connection as Alice, in one of two ways, with its upstream's end."""
    opening = site.opened(path=path) if way == "plain" else site.speaking(path)
    async with opening as client:
        yield client, await site.played.end()


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
    async with connected(site, way) as (client, upstream):
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
    async with connected(site, way) as (client, upstream):
        upstream.send(frame("again", masked=False))
        assert await client.text() == "again"


async def test_a_killed_upstream_ends_all_its_clients_and_no_others(site: Site) -> None:
    """Of fifty connections each gets 1013; one line of the log for each."""
    async with AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(connected(site, "plain")) for _ in range(50)]
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
        assert site.serving.output().count(f":{three.ports[1]} cannot be reached") <= 2
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
        before = resident(site)
        sent = await asyncio.gather(*(fill(upstream.writer, part, MOST) for upstream in upstreams))
        assert max(sent) < MOST
        each = (resident(site) - before) / MANY
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
        before = resident(site)
        await asyncio.gather(*(fill(client.writer, part, MOST) for client in clients))
        each = (resident(site) - before) / MANY
        assert each < 256 * KIB, each
        await site.serves_the_next()


# The end of TCP, one side at a time.


@ways
async def test_a_client_that_ends_its_side_still_gets_what_is_on_its_way(site: Site, way: str) -> None:
    """The upstream sees the end, may answer it, both sides are closed, and nobody is blamed."""
    before = site.serving.output().count("upstream_unavailable")
    async with connected(site, way) as (client, upstream):
        client.send(frame("last words"))
        client.writer.write_eof()
        assert (await upstream.message()).payload == b"last words"
        assert await upstream.reader.read() == b""
        upstream.send(frame("farewell", masked=False))
        assert await client.text() == "farewell"
        upstream.send(frame(b"\x03\xe9", CLOSE, masked=False))
        assert (await client.closed()).close_code == 1001
        assert await client.cut(within=3)
    assert site.serving.output().count("upstream_unavailable") == before


@ways
async def test_an_upstream_that_ends_its_side_is_gone(site: Site, way: str) -> None:
    """What it had said comes first; then 1013, and its end of TCP is closed although it would still read."""
    async with connected(site, way) as (client, upstream):
        upstream.send(frame("farewell", masked=False))
        upstream.writer.write_eof()
        assert await client.text() == "farewell"
        if way == "speaking":
            assert (await client.message("auth_error"))["code"] == "upstream_unavailable"
        end = await client.closed()
        assert (end.close_code, end.reason) == (1013, "upstream_unavailable")
        await site.told(end, "ended TCP without a close frame")
        assert await client.ended(within=3)
        await upstream.ends()


@ways
async def test_a_reset_of_the_client_ends_the_upstream(site: Site, way: str) -> None:
    """At once, also where much is on its way in both directions, and nobody is blamed for it."""
    before = site.serving.output().count("upstream_unavailable")
    for load in (b"", frame(bytes(60_000), masked=False) * 20):
        async with connected(site, way) as (client, upstream):
            upstream.send(load)
            client.send(frame("x" * 30_000, TEXT, fin=False))
            await asyncio.sleep(0.02)
            client.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
            )
            client.writer.transport.abort()
            began = time.monotonic()
            await upstream.rest()
            assert time.monotonic() - began < 2
    assert site.serving.output().count("upstream_unavailable") == before


# Limits of time and size.


@ways
async def test_max_connection_age_ends_it_whatever_it_does(site: Site, way: str) -> None:
    """Traffic and a renewal move nothing, and there is no grace: 3000 on both sides."""
    async with connected(site, way, "/brief") as (client, upstream):
        began = time.monotonic()
        if way == "speaking":
            client.send(auth(token=site.token()))
        closing = asyncio.create_task(client.closed())
        while not closing.done():
            client.send(frame("busy"))
            upstream.send(frame("busy", masked=False))
            await asyncio.wait({closing}, timeout=0.1)
        end = await closing
        assert (end.close_code, end.reason) == (3000, "token_expired")
        assert 1.5 < time.monotonic() - began < 4
        assert (await upstream.closed()).code == 3000


SPLIT = frame(b"x" * 100, PING)
STIRRING: dict[str, tuple[list[bytes], list[bytes], bool]] = {
    "messages of the client": ([frame("x")], [], True),
    "fragments of the client": ([frame("x", fin=False) + frame("y", CONT)], [], True),
    "messages of the upstream": ([], [frame("x", masked=False)], True),
    "long messages of the upstream": ([], [frame("x" * 60_000, masked=False)], True),
    "nothing": ([], [], False),
    "pings of the client": ([frame(b"x", PING)], [], False),
    "pings in two segments": ([SPLIT[:50], SPLIT[50:]], [], False),
    "pongs of the client": ([frame(b"x", PONG)], [], False),
    "pings of the upstream": ([], [frame(b"x", PING, masked=False)], False),
    "pongs of the upstream": ([], [frame(b"x", PONG, masked=False)], False),
    "half a frame": ([b"\x81"], [], False),
}


@ways
@pytest.mark.parametrize("name", STIRRING)
async def test_only_messages_keep_an_idle_connection(site: Site, way: str, name: str) -> None:
    """Those of either side do; pings and pongs do not. Then 3008 on both sides."""
    down, up, keeps = STIRRING[name]
    async with connected(site, way, "/idle") as (client, upstream):
        began = time.monotonic()
        closing = asyncio.create_task(client.closed())
        sent = 0
        while not closing.done() and time.monotonic() - began < 2.6:
            if down and (name != "half a frame" or sent == 0):
                client.send(down[sent % len(down)])
            if up:
                upstream.send(up[sent % len(up)])
            sent += 1
            await asyncio.wait({closing}, timeout=0.2)
        assert closing.done() is not keeps
        if not keeps:
            end = await closing
            assert (end.close_code, end.reason) == (3008, "idle_timeout")
            await site.told(end, "idle_timeout")
            assert (await upstream.closed()).code == 3008
        closing.cancel()
        await asyncio.wait({closing})


@ways
@pytest.mark.parametrize("cuts", [[], [1], [30_000, 60_000], [0, 0, 65_536]], ids=["whole", "two", "three", "empty"])
async def test_max_message_counts_all_fragments_of_one_message(site: Site, way: str, cuts: list[int]) -> None:
    """Exactly 64 KiB pass, again and again; a byte more is 1009, told to both, and what was before it has passed."""

    def message(size: int) -> list[bytes]:
        payload, ends = bytes(size), [*cuts, size]
        starts = [0, *cuts]
        return [
            frame(payload[start:end], CONT if at else 2, fin=at == len(cuts))
            for at, (start, end) in enumerate(zip(starts, ends, strict=True))
        ]

    async with connected(site, way) as (client, upstream):
        for _ in range(3):
            client.send(*message(65_536))
            got, final = 0, False
            while not final:
                found = await upstream.receive()
                got, final = got + len(found.payload), found.final
            assert got == 65_536
        client.send(frame("before"), *message(65_537))
        assert (await upstream.message()).payload == b"before"
        if way == "speaking":
            assert (await client.message("auth_error"))["code"] == "message_too_large"
        end = await client.closed()
        assert (end.close_code, end.reason) == (1009, "message_too_large")
        await site.told(end, "max_message")
        told = await upstream.closed()
        assert (told.code, told.reason) == (1009, "message_too_large")


# No more descriptors, and the end of the process.


async def test_rx_06_without_descriptors_it_waits_and_accepts_again(tmp_path: Path) -> None:
    """At the limit who comes waits or gets 502; who is in goes on; when some have left the rest is served."""
    async with gateway(tmp_path, CONFIG) as site, AsyncExitStack() as stack:
        await site.serves_the_next()
        limit = descriptors(site) + 60
        _, hard = resource.prlimit(site.serving.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(site.serving.pid, resource.RLIMIT_NOFILE, (limit, hard))
        alice = await stack.enter_async_context(site.opened())
        waiting: list[Wire] = []
        async with AsyncExitStack() as crowd:
            for _ in range(50):
                waiting.append(await crowd.enter_async_context(wire(site.port, request("/ws", site.bearer()))))
            await asyncio.sleep(0.5)
            assert descriptors(site) >= limit - 2
            alice.send(frame("still here"))
            assert await alice.text() == "alice: still here"
            late = await stack.enter_async_context(wire(site.port, request("/ws", site.bearer("late"))))
            with pytest.raises(TimeoutError):
                await late.answer(within=0.3)
        assert (await late.answer()).status == 101
        late.send(frame("hi"))
        assert await late.text() == "late: hi"
        alice.send(frame("still here"))
        assert await alice.text() == "alice: still here"
        assert site.serving.output().count("no more connections can be accepted") == 1
        assert "Traceback" not in site.serving.output()


async def test_rx_18_a_signal_finds_connections_in_every_state(tmp_path: Path) -> None:
    """Who is in is closed with 1012, who waits for an upstream gets 503, nobody else comes in, and it ends with 0."""

    async def silence(_: Upstream) -> None:
        """Answer nothing."""

    limits = 'drain_timeout = "1s"\nrequest_timeout = "8s"'
    config = CONFIG.replace(f'request_timeout = "{TIMEOUT:g}s"', limits)
    async with gateway(tmp_path, config) as site, AsyncExitStack() as stack:

        async def held(opening: Callable[[], object], count: int = 15) -> list[Wire]:
            found: list[Wire] = []
            for _ in range(count):
                found.append(await stack.enter_async_context(opening()))  # type: ignore[arg-type]  # a context manager
            return found

        idle = await held(lambda: wire(site.port))
        half = await held(lambda: wire(site.port, request("/ws")[:40]))
        pending = await held(site.pending)
        opened = await held(site.opened)
        speaking = await held(site.speaking)
        with site.played.doing(silence):
            connecting = await held(lambda: wire(site.port, request("/played", site.bearer())))
            for _ in connecting:
                await site.played.end()
            site.serving._process.send_signal(signal.SIGTERM)  # nothing else sends a signal and does not wait

            async def end(client: Wire) -> str:
                found = await client.frame(within=8)
                while found is not None and found.opcode == TEXT:
                    found = await client.frame(within=8)
                assert found is not None, "TCP ended without a close frame"
                client.send(frame(b"\x03\xf4", CLOSE))
                return f"{found.close_code} {found.reason}"

            ends = await asyncio.gather(*(end(client) for client in [*pending, *opened, *speaking]))
            assert set(ends) == {"1012 draining"}
            answers = await asyncio.gather(*(client.answer(within=8) for client in connecting))
            assert {(answer.status, answer.code) for answer in answers} == {(503, "draining")}
            assert all(await asyncio.gather(*(client.cut(within=8) for client in [*idle, *half])))
            assert await site.serving.ended() == 0
        with pytest.raises(ConnectionRefusedError):
            async with wire(site.port):
                pass  # it does not come to that
        assert "Traceback" not in site.serving.output()
