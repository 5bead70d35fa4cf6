"""Several processes on the same listening sockets: one that dies is replaced, and all end with the parent.

The parent holds the writing end of every worker's standard input. It closes with the parent, however that ends, and
then the worker ends at once. Settings go through the same pipe, since arguments and environment can be read by others.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import asdict
from tempfile import TemporaryDirectory
from typing import Final, cast

from prometheus_client.multiprocess import mark_process_dead

from wsauth.serve.listening import Listening
from wsauth.serve.process import GRACE, Told
from wsauth.services.metrics import FOLDER
from wsauth.settings import Settings

__all__ = ["ACCEPTING", "MISCONFIGURED", "Supervisor"]

_log: Final = logging.getLogger("wsauth")
ACCEPTING: Final = b"accepting\n"
"""What a worker writes when it accepts connections."""
MISCONFIGURED: Final = 2
"""Exit status of a worker that the configuration keeps from serving; another one would not either."""
_SHORT_LIFE: Final = 5.0
"""Seconds; a worker that dies sooner has failed."""
_FAILURES: Final = 5
"""In a row; then the server gives up."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0


class Supervisor:
    """Keep as many workers as the configuration says.

    Args:
        settings: the configuration.
        factory: `package.module:name`.
        listening: the sockets that they share.
        told: who is told how far all of them are.
    """

    def __init__(self, settings: Settings, factory: str, listening: Listening, told: Told) -> None:
        self._count = settings.server.workers
        self._reloads = settings.server.tls
        self._patience = settings.server.drain_timeout + 3 * GRACE
        self._listening = listening
        self._told = told
        self._workers: set[Process] = set()
        self._ready: set[int] = set()
        self._stop = asyncio.Event()
        self._status = 0
        self._order = _order(settings, factory, listening)
        self._numbers = ""

    async def run(self) -> int:
        """Run until a signal, and return the exit status."""
        with TemporaryDirectory(prefix="wsauth-metrics-", ignore_cleanup_errors=True) as self._numbers:
            return await self._run()

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._signalled, 0)
        loop.add_signal_handler(signal.SIGINT, self._signalled, 128 + signal.SIGINT)
        slots = [asyncio.create_task(self._keep(number)) for number in range(self._count)]
        if self._reloads:
            loop.add_signal_handler(signal.SIGHUP, self._reload)
        await self._stop.wait()
        self._told.stopping()
        self._listening.close()
        self._send(signal.SIGTERM)
        _, late = await asyncio.wait(slots, timeout=self._patience)
        if late:
            _log.warning("%d workers did not end in time and are killed", len(self._workers))
            self._send(signal.SIGKILL)
            await asyncio.wait(late)
        return self._status

    def _reload(self) -> None:
        self._told.reloading()
        self._send(signal.SIGHUP)

    def _signalled(self, status: int) -> None:
        if self._stop.is_set():
            self._status = status
            self._send(signal.SIGKILL)
        self._stop.set()

    def _send(self, number: signal.Signals) -> None:
        for worker in self._workers:
            with suppress(ProcessLookupError):
                worker.send_signal(number)

    def _give_up(self, status: int, why: str) -> None:
        if not self._stop.is_set():
            _log.error("%s", why)
            self._status = status
            self._stop.set()

    async def _keep(self, number: int) -> None:
        """Keep one worker, one after the other."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stop.is_set():
            began = loop.time()
            status = await self._live(number)
            if self._stop.is_set():
                return
            if status == MISCONFIGURED:
                self._give_up(MISCONFIGURED, "a worker cannot serve this configuration")
                return
            failures = failures + 1 if loop.time() - began < _SHORT_LIFE else 1
            if failures >= _FAILURES:
                self._give_up(1, f"a worker died {failures} times in a row at once; the lines above say why")
                return
            pause = min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE)
            _log.error("worker %d ended with status %d; another one starts in %.1f s", number + 1, status, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    async def _live(self, number: int) -> int:
        """Run one worker and return its exit status."""
        # -P: what lies in the current directory is not imported in place of what is installed.
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "wsauth.serve.worker"),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, FOLDER: self._numbers},
            pass_fds=[each.fileno() for each in self._listening.sockets],
        )
        self._workers.add(worker)
        try:
            if self._stop.is_set():
                worker.kill()
            await self._instruct(number, worker)
            return await worker.wait()
        finally:
            self._workers.discard(worker)
            mark_process_dead(worker.pid, self._numbers)  # type: ignore[no-untyped-call]  # theirs has no types

    async def _instruct(self, number: int, worker: Process) -> None:
        stdin, stdout = cast("StreamWriter", worker.stdin), cast("StreamReader", worker.stdout)  # asked for as pipes
        with suppress(ConnectionError):
            stdin.write(self._order)
            await stdin.drain()
        if await stdout.readline() == ACCEPTING and len(self._ready) < self._count:
            self._ready.add(number)
            if len(self._ready) == self._count:
                self._told.accepting()


def _order(settings: Settings, factory: str, listening: Listening) -> bytes:
    """Return the one line that tells a worker everything."""
    order = {
        "factory": factory,
        "settings": settings.dump(),
        "sockets": [each.fileno() for each in listening.sockets],
        "urls": asdict(listening.urls),
    }
    return json.dumps(order).encode() + b"\n"
