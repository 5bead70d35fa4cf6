"""Other processes on the same database: each does one thing when it is told to, and says what came of it."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.conformance_store.cast import LIMITS, NOW
from tests.lifeline import hold, release
from wsauth.core.feed import NewRow
from wsauth.core.users import User
from wsauth.errors import Refused
from wsauth.interfaces.feed import Node
from wsauth.interfaces.store import Store
from wsauth.stores import open_store

__all__ = ["Process", "another"]

_PATIENCE = 60.0


class Process:
    """Be another process, with the store open."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def go(self) -> None:
        """Tell it to begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        await self._process.stdin.drain()

    async def said(self) -> Any:
        """Return what it says next, JSON; `None`: it has ended."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE):
            line = await self._process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def suspend(self) -> None:
        """Stop it without ending it."""
        self._process.send_signal(signal.SIGSTOP)

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.send_signal(signal.SIGKILL)


@asynccontextmanager
async def another(url: str, what: str, *arguments: object) -> AsyncGenerator[Process]:
    """Start a process that opens the store; it is ready when this returns, and killed when the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.conformance_store.processes", url, what, *map(str, arguments)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    hold(process.pid)
    try:
        running = Process(process)
        assert await running.said() == "ready"
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        release(process.pid)


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _burn(store: Store, ticket_id: str, times: str) -> object:
    burns = (store.tickets.burn(ticket_id, NOW + 30, LIMITS, NOW) for _ in range(int(times)))
    return sum(await asyncio.gather(*burns))


async def _refresh(store: Store, session_id: str, times: str) -> object:
    refreshes = (store.sessions.refresh(session_id, 0, LIMITS, NOW) for _ in range(int(times)))
    return [refreshed.outcome for refreshed in await asyncio.gather(*refreshes)]


async def _add(store: Store, name: str) -> object:
    try:
        return (await store.users.add(User(username=name))).epoch
    except Refused as refused:
        return refused.code


async def _add_many(store: Store) -> object:
    """Add users without end, and name each that was acknowledged."""
    number = 0
    while True:
        names = [f"user-{number + place}" for place in range(8)]
        await asyncio.gather(*(store.users.add(User(username=name)) for name in names))
        _say(names)
        number += len(names)


async def _publish(store: Store, key: str, until: str) -> object:
    await store.feed.publish([NewRow(kind="token", key=key, keep_until=float(until))])
    return key


async def _beat(store: Store, name: str) -> object:
    """Beat once, long ago, and stay."""
    await store.feed.beat(Node(id=name, beat_at=1.0))
    _say("beaten")
    return await asyncio.to_thread(sys.stdin.readline)


async def _nothing(store: Store) -> object:
    return None


_WHAT: dict[str, Callable[..., Awaitable[object]]] = {
    "add": _add,
    "beat": _beat,
    "add-many": _add_many,
    "burn": _burn,
    "nothing": _nothing,
    "publish": _publish,
    "refresh": _refresh,
}


async def _main(url: str, what: str, *arguments: str) -> None:
    store = open_store(url)
    await store.open()
    try:
        _say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        _say(await _WHAT[what](store, *arguments))
    finally:
        await store.aclose()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
