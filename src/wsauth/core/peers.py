"""Who the client is, behind proxies that are believed about its address and scheme (RFC 7239, ASVS 4.1.3).

Only `server.trusted_proxies` are believed; from anybody else the headers say nothing. Where other machines come in
without TLS of ours, the proxies are the only ones who may come, and must say that the client came over https.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

import msgspec

from wsauth.core.fields import Field
from wsauth.errors import Refused

__all__ = ["Client", "Network", "Peers", "ip_of"]

Network = IPv4Network | IPv6Network

_SECURE: Final = frozenset({"https", "wss"})
_HEALTH: Final = frozenset({"/healthz", "/readyz"})
"""What a load balancer asks by itself, for nobody; then it forwards nothing."""
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)=("[^"\\]*"|[^\s";,]*)\s*')
_REMEMBERED: Final = 1024
_LONGEST: Final = 64
"""Characters of an address with brackets and port."""


def ip_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, IPv4 also where it is written as IPv6 (RFC 4291 section 2.5.5.2); `None`: it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


class Client(msgspec.Struct, frozen=True, gc=False):
    """Be who asks.

    Attributes:
        address: the client's, as far as it is known, else the proxy's; empty where the peer has none.
        secure: a proxy says that the client came over TLS.
        proxied: the peer is one of the proxies.
        way: what `X-Forwarded-For` says to what is behind us: the client's address, then those of the proxies.
            What the client itself wrote in front of its address is not in it.
    """

    address: str
    secure: bool = False
    proxied: bool = False
    way: str = ""


class _Hop(msgspec.Struct, frozen=True, gc=False):
    """Be one line of the way a request took: who asked the next proxy, and how; `None` and empty are unknown."""

    address: str | None
    scheme: str


_UNKNOWN: Final = _Hop(None, "")


class Peers:
    """Believe trusted proxies about the client.

    Args:
        trusted: the proxies.
        only: nobody else may come, and nobody over plain http.
    """

    __slots__ = ("_only", "_trusted", "is_proxy")

    def __init__(self, trusted: Sequence[Network], *, only: bool) -> None:
        self._trusted = tuple(trusted)
        self._only = only
        self.is_proxy = lru_cache(maxsize=_REMEMBERED)(self._look)

    def client(self, headers: Iterable[Field], peer: str, path: str) -> Client:
        """Return who asks.

        Args:
            headers: names in lower case.
            peer: the address at the other end of TCP, or empty.
            path: as sent, without the query.

        Raises:
            Refused: `address_blocked`, or `request_invalid` where the headers contradict each other or tell of plain
                http.
        """
        if not self.is_proxy(peer):
            if self._only:
                why = f"{peer or 'the peer'} is none of the proxies; to change it: server.trusted_proxies"
                raise Refused("address_blocked", why)
            return Client(peer, way=peer)
        ways = [self._trusted_end(way) for way in _ways(headers)] or [[_UNKNOWN]]
        client = ways[0][0]
        if any(way[0] != client for way in ways):
            raise Refused("request_invalid", "Forwarded and X-Forwarded-* tell of different clients")
        secure = client.scheme in _SECURE
        if not secure:
            self._check_plain(client.scheme, path)
        if client.address is None:
            return Client(peer, secure, proxied=True, way=peer)
        addresses = [hop.address for hop in ways[0] if hop.address is not None]
        return Client(addresses[0], secure, proxied=True, way=", ".join([*addresses, peer]))

    def _look(self, peer: str | None) -> bool:
        text = _parsed((peer or "").partition("%")[0])
        if text is None:
            return False
        address = ip_address(text)
        return any(address in network for network in self._trusted)

    def _trusted_end(self, way: list[_Hop]) -> list[_Hop]:
        """Return the way from the rightmost hop that is no proxy; where all are, all of it."""
        for at in range(len(way) - 1, -1, -1):
            if not self.is_proxy(way[at].address):
                return way[at:]
        return way

    def _check_plain(self, scheme: str, path: str) -> None:
        if scheme:
            raise Refused("request_invalid", "the client reached the proxy in plain text")
        if self._only and path not in _HEALTH:
            why = "the proxy does not say how the client reached it: let it set X-Forwarded-Proto"
            raise Refused("request_invalid", why)


def _ways(headers: Iterable[Field]) -> list[list[_Hop]]:
    """Return the ways that the headers tell of: none, one, or one by each of the two kinds of header."""
    found: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto"):
            found.setdefault(name, []).extend(value.decode("latin-1").split(","))
    ways = []
    if b"x-forwarded-for" in found or b"x-forwarded-proto" in found:
        schemes = {scheme.strip().lower() for scheme in found.get(b"x-forwarded-proto", [""])}
        # Several values come from several hops or from a client that wrote one itself: only https alone is believed.
        scheme = "https" if schemes <= _SECURE else min(schemes - _SECURE)
        ways.append([_Hop(_parsed(each.strip()), scheme) for each in found.get(b"x-forwarded-for", [""])])
    if b"forwarded" in found:
        ways.append([_element(each) for each in found[b"forwarded"]])
    return ways


def _element(text: str) -> _Hop:
    """Read one element of `Forwarded` (RFC 7239 section 4)."""
    pairs = [_PAIR.fullmatch(part) for part in text.split(";")]
    named = {match[1].lower(): match[2].strip('"') for match in pairs if match is not None}
    scheme = named.get("proto", "").lower()
    return _Hop(_parsed(named.get("for", "")), "https" if scheme in _SECURE else scheme)


def _parsed(text: str) -> str | None:
    """Return an address written with or without brackets and port, or `None` (`unknown`, `_hidden`, with a zone)."""
    return _address(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=_REMEMBERED)
def _address(text: str) -> str | None:
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    if "%" in host:
        return None  # a zone means something on one machine only, and may be any text (RFC 4007 section 11)
    address = ip_of(host)
    return None if address is None else str(address)
