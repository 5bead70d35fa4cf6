"""Start a server in a process of its own, and read what it costs from /proc."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORE = 0
"""The servers' core; the generator has core 1."""

ROOT = Path(__file__).resolve().parent.parent


class NotStarted(Exception):
    """A server ended before it accepted connections."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A running server."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Return the seconds of CPU that the process has used, all threads, user and system."""
        return cpu_seconds_of(self.pid)

    def memory(self) -> int:
        """Return the process's own memory in bytes (proportional set size)."""
        return memory_of(self.pid)


def cpu_seconds_of(pid: int) -> float:
    """Return the seconds of CPU that the living threads of a process have used, to the nanosecond."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def memory_of(pid: int) -> int:
    """Return a process's own memory in bytes (proportional set size)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise LookupError("no Pss in smaps_rollup")


@contextmanager
def serving(name: str) -> Iterator[Subject]:
    """Serve `benchmarks.apps.<name>` for the length of a with block."""
    command = [sys.executable, "-m", "benchmarks.server", name, str(CORE)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise NotStarted(f"{name}: its own message is above")
        yield Subject(process.pid, int(line))
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def settled_memory(subject: Subject, seconds: float = 0.5) -> int:
    """Return the memory of a subject after letting it come to rest, in bytes."""
    time.sleep(seconds)
    return subject.memory()
