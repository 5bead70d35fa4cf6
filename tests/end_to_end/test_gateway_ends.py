"""How connections through the gateway end: one side at a time, by limits of time and size, and with the process.

Everything else goes on meanwhile, and the process has as many descriptors afterwards as before.
"""

import asyncio
import resource
import signal
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from tests.attacks.gateway import Site, Upstream, auth, gateway
from tests.attacks.wire import CLOSE, PING, PONG, TEXT, Wire, frame, request, wire

CONFIG = """
[server]
drain_timeout = "1s"
request_timeout = "8s"

[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{echo}"

[[routes]]
path = "/played"
upstream = "ws://127.0.0.1:{played}"
max_message = "64KiB"

[[routes]]
path = "/brief"
upstream = "ws://127.0.0.1:{played}"
max_connection_age = "2s"
grace = "10s"

[[routes]]
path = "/idle"
upstream = "ws://127.0.0.1:{played}"
idle_timeout = "1500ms"
"""
CONT = 0


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module that share one."""
    async with gateway(tmp_path_factory.mktemp("ends"), CONFIG) as found:
        await found.serves_the_next()
        yield found


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway, and see that nobody else is harmed and nothing is left."""
    async with running.unharmed():
        yield running


ways = pytest.mark.parametrize("way", ["plain", "speaking"])


# The end of TCP, one side at a time.


@ways
async def test_a_client_that_ends_its_side_still_gets_what_is_on_its_way(site: Site, way: str) -> None:
    """The upstream sees the end, may answer it, both sides are closed, and nobody is blamed."""
    before = site.serving.output().count("upstream_unavailable")
    async with site.paired(way) as (client, upstream):
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
    async with site.paired(way) as (client, upstream):
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
        async with site.paired(way) as (client, upstream):
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
    async with site.paired(way, "/brief") as (client, upstream):
        began = time.monotonic()
        if way == "speaking":
            client.send(auth(token=site.token()))
        closing = asyncio.create_task(client.closed())
        while not closing.done() and time.monotonic() - began < 6:
            client.send(frame("busy"))
            upstream.send(frame("busy", masked=False))
            await asyncio.wait({closing}, timeout=0.1)
        assert closing.done()
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


async def keeps(client: Wire, upstream: Upstream, name: str) -> bool:
    """Tell whether a connection is still open after a while in which both sides say this now and then."""
    down, up, _ = STIRRING[name]
    began = time.monotonic()
    closing = asyncio.create_task(client.closed())
    sent = 0
    while not closing.done() and time.monotonic() - began < 3:
        if down and (name != "half a frame" or sent == 0):
            client.send(down[sent % len(down)])
        if up:
            upstream.send(up[sent % len(up)])
        sent += 1
        await asyncio.wait({closing}, timeout=0.2)
    if not closing.done():
        closing.cancel()
        await asyncio.wait({closing})
        return True
    end = await closing
    assert (end.close_code, end.reason) == (3008, "idle_timeout")
    assert (await upstream.closed()).code == 3008
    return False


@ways
async def test_only_messages_keep_an_idle_connection(site: Site, way: str) -> None:
    """Those of either side do; pings and pongs do not. Then 3008 on both sides."""
    async with AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(site.paired(way, "/idle")) for _ in STIRRING]
        found = await asyncio.gather(*(keeps(*pair, name) for pair, name in zip(pairs, STIRRING, strict=True)))
    assert dict(zip(STIRRING, found, strict=True)) == {name: kept for name, (_, _, kept) in STIRRING.items()}


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

    async with site.paired(way) as (client, upstream):
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
        limit = site.descriptors + 60
        _, hard = resource.prlimit(site.serving.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(site.serving.pid, resource.RLIMIT_NOFILE, (limit, hard))
        alice = await stack.enter_async_context(site.opened())
        waiting: list[Wire] = []
        async with AsyncExitStack() as crowd:
            for _ in range(50):
                waiting.append(await crowd.enter_async_context(wire(site.port, request("/ws", site.bearer()))))
            await asyncio.sleep(0.5)
            assert site.descriptors >= limit - 2
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

    async with gateway(tmp_path, CONFIG) as site, AsyncExitStack() as stack:

        async def held(opening: Callable[[], AbstractAsyncContextManager[Wire]], count: int = 15) -> list[Wire]:
            found: list[Wire] = []
            for _ in range(count):
                found.append(await stack.enter_async_context(opening()))
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
