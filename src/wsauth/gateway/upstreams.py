"""What is behind a route: its addresses, which of them is next, and how one is reached."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from wsauth.core.forwarding import Forwarding
from wsauth.errors import ConfigurationError
from wsauth.gateway.plane import Timeouts

__all__ = ["Address", "Upstream"]

_log: Final = logging.getLogger("wsauth")
_REST: Final = 5.0
"""Seconds that an address is left alone after a failure, while there is another one."""
_RESOLVED: Final = 30.0
"""Seconds after which a name is looked up again."""
_PORTS: Final = {"ws": 80, "wss": 443}
_NONBLOCKING: Final = getattr(socket, "SOCK_NONBLOCK", 0) | getattr(socket, "SOCK_CLOEXEC", 0)

Place = tuple[int, Any]
"""Address family and socket address."""


@dataclass(slots=True, eq=False)
class Address:
    """Be one address of an upstream.

    Attributes:
        url: as configured, for the log and the assertion.
        host: what TLS verifies and `Host` says where it is rewritten; empty for a unix socket.
        places: where to connect; several where a name has several addresses.
        rests_until: when it may be tried again, on the monotonic clock; it failed before.
        stuck: it failed by silence, so that trying it costs the whole time limit.
    """

    url: str
    host: str
    port: int
    places: list[Place]
    rests_until: float = 0.0
    stuck: bool = False
    turn: int = 0
    looked_up: float = 0.0

    @property
    def named(self) -> bool:
        """Tell whether a name has to be looked up."""
        return bool(self.host) and not _is_literal(self.host)

    def place(self) -> Place:
        """Return where to connect this time.

        Raises:
            OSError: the name is not known.
        """
        if not self.places:
            raise OSError(f"{self.host} has no address")
        self.turn += 1
        return self.places[self.turn % len(self.places)]


class Upstream:
    """Hold the addresses of one route's upstream.

    Args:
        urls: `ws://`, `wss://` or `unix:`, tried in turn.
        timeout: seconds to connect, for each address.
        ca: PEM file of the authorities that `wss://` is verified against; empty: the system's.
        certificate: PEM file of a client certificate for `wss://`, with `key`.
        key: its key.
        forwarding: what is changed of the handshakes that go there.
        assertion: whether they carry an assertion.
        local: it is an application in this very process, which may know connections by their ids.

    Attributes:
        silent: those who wait for one of the addresses; set by the gateway.
    """

    silent: Timeouts

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout: float = 5.0,
        ca: str = "",
        certificate: str = "",
        key: str = "",
        forwarding: Forwarding | None = None,
        assertion: bool = False,
        local: bool = False,
    ) -> None:
        self.timeout = timeout
        self.forwarding = forwarding or Forwarding()
        self.assertion = assertion
        self.local = local
        self.addresses = [_address(url) for url in urls]
        self.tls: ssl.SSLContext | None = None
        if any(url.startswith("wss:") for url in urls):
            self.tls = _context(ca, certificate, key)
        self._turn = 0
        self._looking: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Look up the names; one that is not known yet is tried again when it is needed."""
        for address in self.addresses:
            if address.named:
                await self._look_up(address)

    def candidates(self) -> list[Address]:
        """Return the addresses to try, in order: those that work in turn, then those that rest.

        One that answered with silence and still rests is not tried at all: whoever waits for it would only wait.
        """
        count = len(self.addresses)
        if count == 1:
            only = self.addresses[0]
            self._refresh(only)
            return [] if only.stuck and only.rests_until > monotonic() else [only]
        self._turn += 1
        now = monotonic()
        for address in self.addresses:
            self._refresh(address)
        well = [address for address in self.addresses if address.rests_until <= now]
        resting = [address for address in self.addresses if address.rests_until > now and not address.stuck]
        return self._turned(well) + self._turned(resting)

    def _turned(self, addresses: list[Address]) -> list[Address]:
        """Return them with another one in front each time."""
        first = self._turn % len(addresses) if addresses else 0
        return addresses[first:] + addresses[:first]

    def failed(self, address: Address, *, stuck: bool) -> None:
        """Leave an address alone for a while."""
        if address.rests_until <= monotonic():
            _log.warning("the upstream %s cannot be reached; others are tried first for %g s", address.url, _REST)
        address.rests_until = monotonic() + _REST
        address.stuck = stuck
        address.looked_up = min(address.looked_up, monotonic() - _RESOLVED + 1.0)

    def works(self, address: Address) -> None:
        """Take note that an address answered."""
        if address.rests_until:
            address.rests_until = 0.0
            address.stuck = False

    def _refresh(self, address: Address) -> None:
        if address.host and address.looked_up and monotonic() - address.looked_up > _RESOLVED:
            address.looked_up = monotonic()
            task = asyncio.get_running_loop().create_task(self._look_up(address))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _look_up(self, address: Address) -> None:
        """Look a name up; what was known of it stays when that fails."""
        address.looked_up = monotonic()
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            )
        except OSError as error:
            address.looked_up = monotonic() - _RESOLVED + 1.0
            _log.warning("the upstream %s: %s is not known: %s", address.url, address.host, error.strerror or error)
            return
        address.places = [(family, where) for family, _, _, _, where in found]


def connecting(place: Place) -> socket.SocketType:
    """Return a socket that has begun to connect.

    Raises:
        OSError: that failed at once.
    """
    family, where = place
    made = socket.SocketType(family, socket.SOCK_STREAM | _NONBLOCKING)
    try:
        if not _NONBLOCKING:
            made.setblocking(False)
        if family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not _is_here(where[0]):
                for level, option, value in keepalive():
                    made.setsockopt(level, option, value)
        made.connect(where)
    except BlockingIOError as error:
        if family == socket.AF_UNIX:
            made.close()
            raise OSError(error.errno, "its backlog is full") from None
    except BaseException:
        made.close()
        raise
    return made


def keepalive() -> Iterable[tuple[int, int, int]]:
    """Return the options by which a peer that is cut off is noticed within 40 seconds (ATTACKS RX-17)."""
    wanted = (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4))
    for name, value in (*wanted, ("TCP_USER_TIMEOUT", 30_000)):
        if hasattr(socket, name):
            level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
            yield level, getattr(socket, name), value


def _address(url: str) -> Address:
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        return Address(url, "", 0, [(socket.AF_UNIX, path)])
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not host:
        raise ConfigurationError(f"upstream {url!r} is none: write ws://HOST:PORT, wss://HOST:PORT or unix:PATH")
    port = parts.port or _PORTS[parts.scheme]
    if _is_literal(host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return Address(url, host, port, [(family, (host, port))])
    return Address(url, host, port, [])


@lru_cache(maxsize=256)
def _is_here(host: str) -> bool:
    """Tell whether an address is this machine, to which no wire can be cut."""
    return ip_address(host.partition("%")[0]).is_loopback


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False


def _context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return what verifies an upstream: its name, its chain, TLS 1.2 or later (RFC 9325 section 3.1)."""
    try:
        context = ssl.create_default_context(cafile=ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if certificate:
            context.load_cert_chain(certificate, key or None, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"upstream_ca, upstream_certificate or upstream_key cannot be read: {error}") from None
    return context
