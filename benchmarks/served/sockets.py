"""Hold many sockets open in a process of the generator's, and read what it wrote down about them."""

import asyncio
import json
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.generator import CORE
from benchmarks.served.process import LAUNCH

EVENT = struct.Struct("dddii")
"""`struct event` of wsload.c."""

REVOKED = 3000
"""The close code of an ended credential (the contract's section 7)."""

OPENING_LIMIT = 60
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Echo:
    """An echo: when its message was sent (seconds since the epoch), what it took, how late it was sent (seconds)."""

    at: float
    took: float
    late: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A close frame with the code that was expected: when it came (seconds since the epoch), on which connection."""

    at: float
    connection: int


@dataclass(slots=True)
class Held:
    """What a generator held; the lists are filled once it has ended."""

    process: asyncio.subprocess.Process
    echoes: list[Echo] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    async def emptied(self, within: float) -> None:
        """Wait until the server has closed everything, at most so many seconds: what is missing is counted later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await _line(self.process)


class Generator:
    """Starts generators that hold sockets, and remembers their files."""

    def __init__(self, program: Path, folder: Path) -> None:
        """Remember the program, and the folder for tokens and logs."""
        self._program = program
        self._folder = folder
        self._count = 0

    @asynccontextmanager
    async def holding(
        self, port: int, tokens: Sequence[str], connections: int, *, pace_ms: int = 0, code: int = REVOKED
    ) -> AsyncGenerator[Held]:
        """Hold open connections until the block ends.

        Args:
            port: of the server.
            tokens: the connections bring them in turn.
            connections: how many.
            pace_ms: each connection sends a message this often; 0: never.
            code: a close with this code is written down, any other is an error.
        """
        self._count += 1
        given = self._folder / f"tokens-{self._count}"
        log = self._folder / f"log-{self._count}"
        given.write_text("".join(f"{token}\n" for token in tokens))
        process = await self._start(
            port=port,
            path="/ws",
            connections=connections,
            tokens=given,
            via="header",
            seconds=OPENING_LIMIT,
            expect=code,
            pace=pace_ms,
            log=log,
        )
        held = Held(process)
        try:
            if (line := await _line(process)) != b"open\n":
                raise ConnectionError(f"the generator held nothing: {line!r}")
            yield held
            out, _ = await asyncio.wait_for(process.communicate(b""), 20)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()
        load = json.loads(out.splitlines()[-1])
        held.errors = load["errors"] | (
            {"not open": connections - load["count"]} if load["count"] < connections else {}
        )
        held.echoes, held.closed = _read(log)
        log.unlink()

    async def _start(self, **options: object) -> asyncio.subprocess.Process:
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, str(LAUNCH), str(CORE), str(self._program), "hold", *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )


async def _line(process: asyncio.subprocess.Process) -> bytes:
    """Return the next line that the generator prints."""
    return await process.stdout.readline() if process.stdout else b""


def _read(log: Path) -> tuple[list[Echo], list[Closed]]:
    echoes, closed = [], []
    for at, took, late, connection, code in EVENT.iter_unpack(log.read_bytes()):
        if code:
            closed.append(Closed(at, connection))
        else:
            echoes.append(Echo(at, took, late))
    return echoes, closed


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that this share of the values does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
