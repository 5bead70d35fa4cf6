"""ATTACKS.md RX-17: a network that is cut, which no packet tells of, frees what it held within forty seconds."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.attacks.gateway import Played, gateway
from tests.attacks.wire import CLOSE, Frame, Wire, frame, request
from tests.end_to_end.elsewhere import elsewhere
from tests.wsauth_sockets import eventually

CONFIG = """
[server]
host = "0.0.0.0"
insecure_plaintext = true
allowed_hosts = ["127.0.0.1", "{here}"]

[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{echo}"

[[routes]]
path = "/played"
upstream = "ws://127.0.0.1:{played}"

[[routes]]
path = "/there"
upstream = "ws://{there}"
upstream_timeout = "1s"
max_message = "1MiB"
"""
WITHIN = 40.0
"""Seconds (ATTACKS RX-17)."""


async def test_rx_17_a_cut_cable_frees_both_sides(tmp_path: Path) -> None:
    """Idle clients and busy ones, idle upstreams and busy ones: all end in time, and who is not beyond it goes on."""
    with elsewhere() as machine:
        far = Played()
        server = await asyncio.start_server(far.handle, sock=machine.listening())
        there = f"{machine.there}:{server.sockets[0].getsockname()[1]}"
        config = CONFIG.replace("{here}", machine.here).replace("{there}", there)
        async with server, gateway(tmp_path, config) as site, AsyncExitStack() as stack:

            async def dialled(path: str) -> Wire:
                reader, writer = await asyncio.open_connection(sock=machine.dialled(site.port))
                stack.callback(writer.transport.abort)
                client = Wire(reader, writer)
                client.send(request(path, f"Host: {machine.here}", site.bearer()))
                assert (await client.answer()).status == 101
                return client

            bob = await stack.enter_async_context(site.opened(site.bearer("bob")))
            files = site.descriptors
            open_before = len(site.echo.open)
            idle = await dialled("/ws")
            idle.send(frame("hi"))
            assert await idle.text() == "alice: hi"
            deaf = await dialled("/played")
            busy = await site.played.end()
            near = [await stack.enter_async_context(site.opened(path="/there")) for _ in range(2)]
            for _ in near:
                await far.end()

            machine.cut()
            began = time.monotonic()
            busy.send(frame("x" * 50_000, masked=False))
            near[1].send(frame("x" * 50_000))

            async def closed(client: Wire) -> Frame:
                found = await client.closed(within=WITHIN + 2)
                client.send(frame(b"\x03\xf5", CLOSE))
                return found

            async def gone() -> bool:
                return len(site.echo.open) == open_before

            ends = asyncio.gather(*(closed(client) for client in near))
            answer = await site.attempt(site.bearer(), path="/there")
            await site.refused(answer, 502, "upstream_unavailable")
            async with asyncio.timeout(WITHIN):
                assert {(end.close_code, end.reason) for end in await ends} == {(1013, "upstream_unavailable")}
                while await busy.reader.read(65_536):
                    pass
            assert await eventually(gone, within=began + WITHIN - time.monotonic())
            bob.send(frame("still here"))
            assert await bob.text() == "bob: still here"
            for beyond in (idle, deaf):
                beyond.writer.transport.abort()
            far.forget()

            async def as_before() -> bool:
                return site.descriptors <= files

            assert await eventually(as_before)
