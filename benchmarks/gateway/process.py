"""Run a program on one core for the length of a with block, and know what it costs."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import program
from benchmarks.served.process import LAUNCH
from benchmarks.subject import ROOT, NotStarted, cpu_seconds_of, memory_of

PATIENCE = 20.0
"""Seconds that a program may take until it listens."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: the port that clients use, and all its processes, that of its authentication among them."""

    port: int
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """Return the seconds of CPU of all processes."""
        return sum(map(cpu_seconds_of, self.pids))

    def memory(self) -> int:
        """Return the memory of all processes in bytes (proportional set size)."""
        return sum(map(memory_of, self.pids))


def version_of(name: str) -> str:
    """Return what a program says about its version, such as `nginx 1.22.1`."""
    done = subprocess.run([program(name), "-v"], capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).replace("/", " ").split()
    return f"{name} {next((word for word in words if word[:1].isdigit()), 'of unknown version')}"


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(
    command: Sequence[str], core: int, said: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a program on a core until the block ends.

    Args:
        command: the program's path and its arguments.
        core: the only one that it may use.
        said: the file that takes its standard error.
        environ: variables beside ours.
    """
    with said.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(LAUNCH), str(core), *command],
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def until_listening(process: subprocess.Popen[str], port: int, said: Path) -> None:
    """Wait until a program accepts connections.

    Raises:
        NotStarted: it ended, or it takes too long.
    """
    limit = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < limit:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise NotStarted(f"nobody listens: {said.read_text(errors='replace')[-500:].strip()}")


def announced_port(process: subprocess.Popen[str], said: Path) -> int:
    """Return the port that a program prints.

    Raises:
        NotStarted: it ended first.
    """
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise NotStarted(said.read_text(errors="replace")[-500:])
    return int(line)
