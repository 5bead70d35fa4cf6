"""What is behind a route: its addresses, and which of them is next."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from wsauth.core.forwarding import Forwarding
from wsauth.errors import ConfigurationError
from wsauth.gateway.connecting import Place
from wsauth.gateway.plane import Timeouts

__all__ = ["Address", "Upstream"]

_log: Final = logging.getLogger("wsauth")
_REST: Final = 5.0
"""Seconds that an address is left alone after a failure, while there is another one."""
_RESOLVED: Final = 30.0
"""Seconds after which a name is looked up again."""
_UNKNOWN: Final = 1.0
"""Seconds after which a name that is not known is."""
_PORTS: Final = {"ws": 80, "wss": 443}


@dataclass(slots=True, eq=False)
class Address:
    """Be one place where an upstream may be reached.

    Attributes:
        url: as configured, for the log and the assertion.
        host: what TLS verifies; empty for a unix socket.
        place: where to connect.
        rests_until: when it is tried like the others again, on the monotonic clock; it failed before.
        stuck: it failed by silence, so that trying it costs the whole time limit.
    """

    url: str
    host: str
    place: Place
    rests_until: float = 0.0
    stuck: bool = False


@dataclass(slots=True, eq=False)
class _Name:
    """Be one URL of an upstream, and the addresses that it has at the moment."""

    url: str
    host: str
    port: int
    addresses: list[Address] = field(default_factory=list)
    next_look_up: float = inf


class Upstream:
    """Hold the addresses of one route's upstream.

    Args:
        urls: `ws://`, `wss://` or `unix:`, tried in turn; a name with several addresses counts as several.
        timeout: seconds to connect, for each address.
        ca: PEM file of the authorities that `wss://` is verified against; empty: the system's.
        certificate: PEM file of a client certificate for `wss://`, with `key`.
        key: its key.
        forwarding: what is changed of the handshakes that go there.
        assertion: whether they carry an assertion.
        local: it is an application in this very process, which may know connections by their ids.

    Attributes:
        url: the first of the URLs, for the log.
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
        self.url = next(iter(urls), "")
        self._names = [_name(url) for url in urls]
        self.tls: ssl.SSLContext | None = None
        if any(url.startswith("wss:") for url in urls):
            self.tls = _context(ca, certificate, key)
        self._turn = 0
        self._looking: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Look up the names; one that is not known yet is looked up again when it is needed."""
        for name in self._names:
            if not name.addresses:
                await self._look_up(name)

    def candidates(self) -> list[Address]:
        """Return the addresses to try, in order: those that work in turn, then those that rest.

        One that answered with silence and still rests is not tried at all: whoever waits for it would only wait.
        """
        now = monotonic()
        known: list[Address] = []
        for name in self._names:
            if name.next_look_up <= now:
                self._refresh(name)
            known += name.addresses
        if len(known) == 1 and not known[0].rests_until:
            return known
        self._turn += 1
        well = [address for address in known if address.rests_until <= now]
        resting = [address for address in known if address.rests_until > now and not address.stuck]
        return self._turned(well) + self._turned(resting)

    def _turned(self, addresses: list[Address]) -> list[Address]:
        """Return them with another one in front each time."""
        first = self._turn % len(addresses) if addresses else 0
        return addresses[first:] + addresses[:first]

    def failed(self, address: Address, *, stuck: bool, why: str) -> None:
        """Leave an address alone for a while."""
        now = monotonic()
        if address.rests_until <= now:
            _log.warning("the upstream %s at %s was not reached: %s", address.url, _shown(address.place), why)
        address.rests_until = now + _REST
        address.stuck = stuck
        for name in self._names:
            if name.next_look_up < inf and address in name.addresses:
                name.next_look_up = min(name.next_look_up, now + _UNKNOWN)

    def works(self, address: Address) -> None:
        """Take note that an address answered."""
        if address.rests_until:
            address.rests_until = 0.0
            address.stuck = False

    def _refresh(self, name: _Name) -> None:
        name.next_look_up = monotonic() + _RESOLVED
        task = asyncio.get_running_loop().create_task(self._look_up(name))
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look_up(self, name: _Name) -> None:
        """Look a name up; what was known of it stays when that fails, and of its addresses how they are."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                name.host, name.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            )
        except OSError as error:
            name.next_look_up = monotonic() + _UNKNOWN
            _log.warning("the upstream %s: %s is not known: %s", name.url, name.host, error.strerror or error)
            return
        before = {address.place: address for address in name.addresses}
        places = dict.fromkeys((int(family), where) for family, _, _, _, where in found)
        name.addresses = [before.get(place) or Address(name.url, name.host, place) for place in places]
        name.next_look_up = monotonic() + _RESOLVED


def _name(url: str) -> _Name:
    if url.startswith("unix:"):
        return _Name(url, "", 0, [Address(url, "", (socket.AF_UNIX, url.removeprefix("unix:")))])
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not host:
        raise ConfigurationError(f"upstream {url!r} is none: write ws://HOST:PORT, wss://HOST:PORT or unix:PATH")
    port = parts.port or _PORTS[parts.scheme]
    if not _is_literal(host):
        return _Name(url, host, port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return _Name(url, host, port, [Address(url, host, (family, (host, port)))])


def _shown(place: Place) -> str:
    where = place[1]
    return where if isinstance(where, str) else f"{where[0]} port {where[1]}"


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
