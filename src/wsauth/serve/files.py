"""Open files: the limit raised, and how many connections it allows.

A connection takes a descriptor for the client and one for the upstream, and where the upstream is in this process one
more for the other end. To an upstream at a TCP address it also takes one of the machine's local ports, which are about
28,000 to each address (ip(7), `ip_local_port_range`); a unix socket takes none.
"""

import resource
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Capacity", "local_ports", "raise_limit"]

RESERVE: Final = 200
"""Descriptors of each process that are not for connections: store, listeners, requests over HTTP, imports."""
FEW: Final = 1_000
"""Connections; fewer than these are warned of."""
_LARGEST: Final = 1 << 20
"""What the kernel grants by itself (`fs.nr_open`), and more than one process can use; some containers say 2**30."""
_OPEN_MAX: Final = 10_240
"""What macOS grants where the hard limit is infinite."""
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TCP_PORTS: Final = {"ws": 80, "wss": 443}
_RAISE: Final = "raise LimitNOFILE= or ulimit -n"
_ADDRESSES: Final = "add addresses to the route's upstream, or use unix:"


@dataclass(frozen=True, slots=True)
class Capacity:
    """Say how many connections can be open at once.

    Attributes:
        files: how many descriptors each process may have.
        workers: how many processes serve.
        upstreams: those of all routes, as the configuration writes them.
        ports: how many local ports there are to one address; `None` where nobody knows.
    """

    files: int
    workers: int
    upstreams: Collection[str]
    ports: int | None

    @property
    def connections(self) -> int:
        """Return how many connections are possible."""
        by_ports = self._by_ports
        return self._by_files if by_ports is None or self._besides_tcp else min(self._by_files, by_ports)

    def lines(self) -> list[str]:
        """Return what a person who starts the server is told, one line for each bound that counts."""
        by_ports = self._by_ports
        if by_ports is None or by_ports >= self._by_files:
            return [f"connections: {self._by_files:,} at most ({self._files}; {_RAISE})"]
        over_tcp = f"{by_ports:,} at most ({self._local_ports}; {_ADDRESSES})"
        if not self._besides_tcp:
            return [f"connections: {over_tcp}"]
        return [f"connections: {self._by_files:,} at most ({self._files}; {_RAISE})", f"over TCP: {over_tcp}"]

    def warning(self) -> str:
        """Return what is wrong, and the mend; empty where enough connections are possible."""
        if self._by_files >= FEW:
            return ""
        return f"only {self._by_files} connections are possible with {self._files}; {_RAISE}"

    @property
    def _by_files(self) -> int:
        # Where nothing is outside, every upstream is a socket whose other end is in the same process.
        each = 2 if self._addresses or self._outside else 3
        return self.workers * max(0, (self.files - RESERVE) // each)

    @property
    def _by_ports(self) -> int | None:
        addresses = len(self._addresses)
        return addresses * self.ports if addresses and self.ports is not None else None

    @property
    def _addresses(self) -> set[tuple[str | None, int]]:
        urls = [urlsplit(each) for each in self.upstreams]
        return {(url.hostname, url.port or _TCP_PORTS[url.scheme]) for url in urls if url.scheme in _TCP_PORTS}

    @property
    def _outside(self) -> bool:
        return any(each.startswith("unix:") for each in self.upstreams)

    @property
    def _besides_tcp(self) -> bool:
        return any(urlsplit(each).scheme not in _TCP_PORTS for each in self.upstreams)

    @property
    def _files(self) -> str:
        return f"{self.workers} × {self.files:,} open files" if self.workers > 1 else f"{self.files:,} open files"

    @property
    def _local_ports(self) -> str:
        count = len(self._addresses)
        to = "one upstream address" if count == 1 else f"each of {count} upstream addresses"
        return f"{self.ports:,} local ports to {to}"


def raise_limit() -> int:
    """Raise the soft limit of open files as far as the hard one lets us, and return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    largest = _LARGEST if hard == resource.RLIM_INFINITY else min(hard, _LARGEST)
    for wanted in (largest, min(largest, _OPEN_MAX)):
        if _finite(soft) < wanted:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                break
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def local_ports(file: Path = _RANGE) -> int | None:
    """Return how many local ports the kernel hands out to one address; `None` where it does not say."""
    try:
        first, last = file.read_text("ascii").split()
        return int(last) - int(first) + 1
    except (OSError, ValueError):
        return None


def _finite(limit: int) -> int:
    return _LARGEST if limit == resource.RLIM_INFINITY else limit
