"""The gateway as several processes on one port: they act as one, and one that dies takes only its own with it."""

import asyncio
import os
import re
import resource
import signal
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.attacks.wire import PATIENCE, Frame, Wire
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import Sockets, admin, echoes, endings, eventually, people, port_of, refusal
from wsauth.serve.files import Capacity, local_ports
from wsauth.serve.process import GRACE

COUNT = 2
TOGETHER = 24
"""Sockets that are opened at once, so that no process is quick enough to take all of them."""
STARTING = 30.0
"""Seconds that a worker may take until it accepts."""


@dataclass
class Backend:
    """Be a backend that echoes and knows nothing of wsauth.

    Attributes:
        url: where it listens.
        open: who is connected.
    """

    url: str = ""
    open: set[ServerConnection] = field(default_factory=set)

    async def echo(self, socket: ServerConnection) -> None:
        """Serve one connection."""
        self.open.add(socket)
        try:
            with suppress(ConnectionClosed):
                async for message in socket:
                    await socket.send(message)
        finally:
            self.open.discard(socket)


@pytest.fixture
async def backend() -> AsyncGenerator[Backend]:
    """Run a backend."""
    found = Backend()
    async with serve(found.echo, "127.0.0.1", 0, compression=None) as server:
        found.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield found


@asynccontextmanager
async def gateway(folder: Path, upstream: str, *keys: str, workers: int = COUNT) -> AsyncGenerator[Serving]:
    """Serve `/ws` to this upstream, with these keys of [server]."""
    config = "\n".join(["[server]", *keys, "[[routes]]", 'path = "/ws"', f'upstream = "{upstream}"', ""])
    async with serving(folder, "--workers", str(workers), config=config) as server:
        yield server


def workers_of(server: Serving) -> set[int]:
    """Return the processes that serve."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return {int(pid) for pid in children if b"wsauth.serve.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def descriptors(pid: int) -> list[str]:
    """Return what a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return found


def holders(server: Serving, sockets: Sequence[Wire]) -> list[int]:
    """Return the process that holds the server's end of each of these sockets (proc(5), /proc/net/tcp)."""
    held = {name: pid for pid in workers_of(server) for name in descriptors(pid)}
    ends: dict[tuple[int, int], str] = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        here, there = (int(address.partition(":")[2], 16) for address in words[1:3])
        ends[here, there] = f"socket:[{words[9]}]"
    port = port_of(server.http)
    return [held[ends[port, socket.writer.get_extra_info("sockname")[1]]] for socket in sockets]


async def everywhere(server: Serving, sockets: Sockets, token: str) -> dict[int, list[Wire]]:
    """Open sockets until each process holds at least two, and return them by process."""
    found: dict[int, list[Wire]] = {pid: [] for pid in workers_of(server)}
    assert len(found) == COUNT
    async with asyncio.timeout(STARTING):
        while min(map(len, found.values())) < 2:
            async with Sockets() as batch:
                opened = await batch.open_many(server, [token] * TOGETHER, TOGETHER)
                held = dict(zip(opened, holders(server, opened), strict=True))
                if any(len(found[pid]) < 2 for pid in held.values()):
                    sockets.push_async_callback(batch.pop_all().aclose)
                    for each, pid in held.items():
                        found[pid].append(each)
    return found


async def token_of(server: Serving, name: str) -> str:
    """Add somebody, and return an access token."""
    token: str = (await server.login(name, await people(server, [name])))["access_token"]
    return token


def retry_after(end: Frame) -> int:
    """Return when a client that was drained may come again."""
    found = re.fullmatch(r"draining;retry_after=(\d+)", end.payload[2:].decode())
    assert found, end.payload
    return int(found[1])


@pytest.fixture(params=["echo", "a backend"])
def upstream(request: pytest.FixtureRequest, backend: Backend) -> str:
    """Serve from the process itself, and from a backend."""
    return "echo" if request.param == "echo" else backend.url


async def test_all_of_them_serve_one_port_and_a_revocation_reaches_all(tmp_path: Path, upstream: str) -> None:
    """Alice's sockets in every process are closed by one order, which says so, and Bob's in every process stay."""
    async with gateway(tmp_path, upstream) as server, Sockets() as sockets:
        key = await server.add_service("ops", grants=["wsauth:revoke"])
        alice = await everywhere(server, sockets, await token_of(server, "alice"))
        bob = await everywhere(server, sockets, await token_of(server, "bob"))
        everybody = [each for held in (alice, bob) for some in held.values() for each in some]
        assert all(await asyncio.gather(*(echoes(each) for each in everybody)))
        async with admin(server, key) as api:
            report = (await api.post("/revocations", json={"subject": "alice"})).json()
        hers = [each for some in alice.values() for each in some]
        assert report["nodes"] == {"live": COUNT, "answered": COUNT, "silent": 0}
        assert (report["matched"], report["closed"] + report["cut"], report["complete"]) == (len(hers),) * 2 + (True,)
        ends = await endings(hers)
        assert {(end.close_code, end.reason) for end in ends} == {(3000, "session_revoked")}
        assert all(await asyncio.gather(*(echoes(each) for some in bob.values() for each in some)))


def check_limits(server: Serving, upstream: str) -> None:
    """Check that each process may open as many files as the hard limit says, and that the bound of all was told."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(hard, 1 << 20)
    for line in Capacity(soft, COUNT, [upstream], local_ports()).lines():
        assert f"\n  {line}\n" in server.output()
    for pid in workers_of(server):
        (limit,) = re.findall(r"^Max open files +(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
        assert int(limit) == soft


async def test_a_killed_worker_takes_only_its_own_with_it(tmp_path: Path, backend: Backend) -> None:
    """Its sockets and their upstreams end, all others go on, another process takes its place, and serves."""
    async with gateway(tmp_path, backend.url) as server, Sockets() as sockets:
        alice = await token_of(server, "alice")
        found = await everywhere(server, sockets, alice)
        victim, *others = found
        lost, kept = found[victim], [each for pid in others for each in found[pid]]
        os.kill(victim, signal.SIGKILL)
        assert all(await asyncio.gather(*(each.cut() for each in lost)))
        assert all(await asyncio.gather(*(echoes(each) for each in kept)))

        async def only_theirs() -> bool:
            return len(backend.open) == len(kept)

        assert await eventually(only_theirs)

        async def replaced() -> bool:
            return len(workers_of(server) - {victim}) == COUNT

        assert await eventually(replaced, STARTING)
        (new,) = workers_of(server) - set(others)
        assert (await everywhere(server, sockets, alice))[new]
        assert all(await asyncio.gather(*(echoes(each) for each in kept)))
        assert "ended with status -9; another one starts" in server.output()


async def test_what_was_open_is_closed_again_in_every_process(tmp_path: Path, upstream: str) -> None:
    """When all have gone without a word, each process holds as many sockets as before; a reload ends nothing."""
    async with gateway(tmp_path, upstream) as server:
        check_limits(server, upstream)

        def held() -> dict[int, int]:
            return {pid: sum(name.startswith("socket:") for name in descriptors(pid)) for pid in workers_of(server)}

        before = held()
        async with Sockets() as sockets:
            found = await everywhere(server, sockets, await token_of(server, "alice"))
            os.kill(server.pid, signal.SIGHUP)
            everybody = [one for some in found.values() for one in some]
            assert all(await asyncio.gather(*(echoes(one) for one in everybody)))
            each = 3 if upstream == "echo" else 2

            async def more() -> bool:
                return held() == {pid: before[pid] + each * len(some) for pid, some in found.items()}

            assert await eventually(more), (before, held())

        async def as_before() -> bool:
            return held() == before

        assert await eventually(as_before), (before, held())


# Ending.


async def test_the_drain_is_spread_and_so_are_those_who_come_back(tmp_path: Path, upstream: str) -> None:
    """On SIGTERM nobody is accepted, and sockets close with 1012 over `drain_timeout`, each with its own time."""
    within = 4
    async with gateway(tmp_path, upstream, f'drain_timeout = "{within}s"') as server, Sockets() as sockets:
        found = await everywhere(server, sockets, await token_of(server, "alice"))
        port, pids = port_of(server.http), workers_of(server)
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def ended(one: Wire) -> tuple[float, Frame]:
            end = await one.closed(within + PATIENCE)
            return loop.time() - began, end

        ending = asyncio.gather(*(ended(one) for some in found.values() for one in some))
        os.kill(server.pid, signal.SIGTERM)
        await eventually(lambda: refuses(port))
        ends = await ending
        assert await server.ended() == 0
        assert {end.close_code for _, end in ends} == {1012}
        times = sorted(at for at, _ in ends)
        assert times[0] < within / 4
        assert within / 2 < times[-1] < within + GRACE
        assert max(later - sooner for sooner, later in pairwise(times)) < within / 2
        again = [retry_after(end) for _, end in ends]
        assert len(set(again)) > 1
        assert set(again) <= set(range(1, 2 + within // 2))
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


async def test_a_second_signal_ends_all_at_once(tmp_path: Path, backend: Backend) -> None:
    """In the middle of the drain it cuts who is left, in every process, with exit status 0."""
    async with gateway(tmp_path, backend.url, 'drain_timeout = "30s"') as server, Sockets() as sockets:
        found = await everywhere(server, sockets, await token_of(server, "alice"))
        everybody, pids = [one for some in found.values() for one in some], workers_of(server)
        ending = [asyncio.ensure_future(one.closed()) for one in everybody]
        os.kill(server.pid, signal.SIGTERM)
        await asyncio.wait(ending, return_when="FIRST_COMPLETED")
        os.kill(server.pid, signal.SIGTERM)
        async with asyncio.timeout(2):
            assert await server.ended() == 0
        cut = [end for end in await asyncio.gather(*ending, return_exceptions=True) if isinstance(end, AssertionError)]
        assert 0 < len(cut) < len(everybody)
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


async def refuses(port: int) -> bool:
    """Tell whether nobody listens on a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.transport.abort()
    return False


# What the service manager is told.


async def heard(manager: socket.socket) -> list[str]:
    """Return the lines of the next message."""
    async with asyncio.timeout(STARTING):
        return (await asyncio.get_running_loop().sock_recv(manager, 4096)).decode().split("\n")


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_service_manager_hears_when_it_is_ready_and_when_it_stops(tmp_path: Path, workers: int) -> None:
    """READY=1 once, when connections are accepted; STOPPING=1 with the time it takes; workers have no such variable."""
    address = tmp_path / "notify"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(address))
        manager.setblocking(False)
        config = '[server]\ndrain_timeout = "2s"\n'
        environ = {"NOTIFY_SOCKET": str(address)}
        async with serving(tmp_path, "--workers", str(workers), config=config, environ=environ) as server:
            ready = await heard(manager)
            assert ready[0] == "READY=1"
            assert server.http in ready[1]
            assert (await refusal(server, "nothing")).status == 401
            for pid in workers_of(server):
                assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
            os.kill(server.pid, signal.SIGTERM)
            stopping = await heard(manager)
            assert stopping[:2] == ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={(2 + 3 * GRACE) * 1_000_000}"]
            assert await server.ended() == 0
        with pytest.raises(BlockingIOError):
            manager.recv(4096)
