"""How many connections there can be, and what the kernel is asked for that."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from wsauth.serve.files import Capacity, local_ports, raise_limit

RAISE = "raise LimitNOFILE= or ulimit -n"
ADDRESSES = "add addresses to the route's upstream, or use unix:"
HERE, THERE, LOCAL = "ws://10.0.0.5:9000", "wss://10.0.0.6", "unix:/run/chat.sock"


def capacity(files: int, *upstreams: str, workers: int = 1, ports: int | None = 28_232) -> Capacity:
    """Return the capacity of a server with these upstreams."""
    return Capacity(files, workers, upstreams, ports)


@pytest.mark.parametrize(
    ("found", "connections", "lines"),
    [
        (capacity(20_000, HERE), 9_900, [f"connections: 9,900 at most (20,000 open files; {RAISE})"]),
        (
            capacity(20_000, HERE, workers=2),
            19_800,
            [f"connections: 19,800 at most (2 × 20,000 open files; {RAISE})"],
        ),
        (
            capacity(20_000, "echo", "asgi:chat:app"),
            6_600,
            [f"connections: 6,600 at most (20,000 open files; {RAISE})"],
        ),
        (capacity(20_000, "echo", LOCAL), 9_900, [f"connections: 9,900 at most (20,000 open files; {RAISE})"]),
        (
            capacity(200_000, HERE),
            28_232,
            [f"connections: 28,232 at most (28,232 local ports to one upstream address; {ADDRESSES})"],
        ),
        (
            capacity(200_000, HERE, THERE, "ws://10.0.0.5:9000/other", "wss://10.0.0.6:443/"),
            56_464,
            [f"connections: 56,464 at most (28,232 local ports to each of 2 upstream addresses; {ADDRESSES})"],
        ),
        (
            capacity(20_000, HERE, workers=4),
            28_232,
            [f"connections: 28,232 at most (28,232 local ports to one upstream address; {ADDRESSES})"],
        ),
        (
            capacity(200_000, HERE, LOCAL),
            99_900,
            [
                f"connections: 99,900 at most (200,000 open files; {RAISE})",
                f"over TCP: 28,232 at most (28,232 local ports to one upstream address; {ADDRESSES})",
            ],
        ),
        (capacity(200_000, LOCAL), 99_900, [f"connections: 99,900 at most (200,000 open files; {RAISE})"]),
        (
            capacity(200_000, HERE, ports=None),
            99_900,
            [f"connections: 99,900 at most (200,000 open files; {RAISE})"],
        ),
        (capacity(100, HERE), 0, [f"connections: 0 at most (100 open files; {RAISE})"]),
    ],
    ids=[
        "files",
        "workers",
        "in the process",
        "a unix socket",
        "ports",
        "several addresses",
        "ports of all workers",
        "both",
        "no ports",
        "unknown ports",
        "nearly nothing",
    ],
)
def test_the_smaller_bound_is_told_with_its_mend(found: Capacity, connections: int, lines: list[str]) -> None:
    """Two descriptors a connection, three where both ends are ours; ports only where all goes over TCP."""
    assert (found.connections, found.lines()) == (connections, lines)


def test_few_connections_are_warned_of() -> None:
    """Under 1,000 the warning says why and what to do; from there on there is none."""
    assert capacity(256, HERE).warning() == f"only 28 connections are possible with 256 open files; {RAISE}"
    assert capacity(2_199, HERE).warning().startswith("only 999 ")
    assert capacity(2_200, HERE).warning() == ""


def test_the_soft_limit_becomes_the_hard_one() -> None:
    """In a process whose limits are 256 and 300, it is 300 afterwards, and so it is for what that process starts."""
    program = (
        "import resource, subprocess; from wsauth.serve.files import raise_limit; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 300)); "
        "print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE)); "
        "print(subprocess.check_output(['sh', '-c', 'ulimit -n'], text=True))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["300", "300", "300", "300"]


class Kernel:
    """Be a kernel with these limits, which refuses a soft one over `grants`, as macOS does."""

    def __init__(self, soft: int, hard: int, grants: int) -> None:
        self.soft = soft
        self.hard = hard
        self.grants = grants

    def getrlimit(self, _: int) -> tuple[int, int]:
        """Be asked."""
        return self.soft, self.hard

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        """Be told."""
        assert limits[1] == self.hard
        if limits[0] > self.grants:
            raise ValueError("current limit exceeds maximum limit")
        self.soft = limits[0]


@pytest.mark.parametrize(
    ("soft", "hard", "grants", "then"),
    [
        (256, resource.RLIM_INFINITY, 10_240, 10_240),
        (256, resource.RLIM_INFINITY, 100, 256),
        (1_024, 1 << 30, 1 << 30, 1 << 20),
        (2_000_000, 1 << 30, 1 << 30, 2_000_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1 << 30, 1 << 20),
        (4_096, 4_096, 4_096, 4_096),
    ],
    ids=["macOS", "refused", "a container", "more already", "infinite", "the same"],
)
def test_the_limit_is_raised_as_far_as_makes_sense(
    soft: int, hard: int, grants: int, then: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than 2**20, no less than it was, and no failure where the kernel says no."""
    kernel = Kernel(soft, hard, grants)
    monkeypatch.setattr(resource, "getrlimit", kernel.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", kernel.setrlimit)
    assert raise_limit() == then
    assert kernel.soft in (then, resource.RLIM_INFINITY)


@pytest.mark.parametrize(("text", "ports"), [("32768\t60999\n", 28_232), ("1024 1024", 1), ("", None), ("a b", None)])
def test_the_local_ports_are_those_that_the_kernel_names(text: str, ports: int | None, tmp_path: Path) -> None:
    """Both ends of the range count; what cannot be read is not known."""
    (tmp_path / "range").write_text(text)
    assert local_ports(tmp_path / "range") == ports
    assert local_ports(tmp_path / "missing") is None
