"""Behind proxies that end TLS: who is believed about the client's address and scheme (RFC 7239, ASVS 4.1.3).

Only `server.trusted_proxies` are believed; from anybody else the headers say nothing. Where other machines come in
without TLS of ours, the proxies are the only ones who may come, and must say that the client came over https.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from wsauth.integrations.asgi.types import App, Receive, Scope, Send
from wsauth.serve.problems import answer
from wsauth.settings.server import Network

__all__ = ["Hop", "Proxies", "client_of"]

_SECURE: Final = frozenset({"https", "wss"})
_HEALTH: Final = frozenset({"/healthz", "/readyz"})
"""What a load balancer asks by itself, for nobody; then it forwards nothing."""
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)=("[^"\\]*"|[^\s";,]*)\s*')

Address = IPv4Address | IPv6Address
Trusted = Sequence[Network]


@dataclass(frozen=True, slots=True)
class Hop:
    """Be one line of the way a request took: who asked the next proxy, and how; `None` and empty are unknown."""

    address: Address | None
    scheme: str


def client_of(hops: Sequence[Hop], trusted: Trusted) -> Hop:
    """Return the hop next to the trusted proxies, the rightmost that is none of them; with none, the first of all."""
    for hop in reversed(hops):
        if not is_trusted(hop.address, trusted):
            return hop
    return hops[0]


def is_trusted(address: Address | None, trusted: Trusted) -> bool:
    """Tell whether it is one of the proxies."""
    return address is not None and any(address in network for network in trusted)


class Proxies:
    """Believe trusted proxies about the client.

    Args:
        app: answers.
        trusted: the proxies.
        only: nobody else may come, and nobody over plain http.
    """

    def __init__(self, app: App, trusted: Trusted, *, only: bool) -> None:
        self._app = app
        self._trusted = trusted
        self._only = only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope["client"][0] if scope.get("client") else ""
        if not is_trusted(parsed(peer), self._trusted):
            if self._only:
                why = f"{peer or 'the peer'} is none of the proxies; to change it: server.trusted_proxies"
                await answer(scope, send, "address_blocked", 403, why)
            else:
                await self._app(scope, receive, send)
            return
        scope["wsauth.proxied"] = True
        clients = [client_of(way, self._trusted) for way in _ways(scope["headers"])] or [Hop(None, "")]
        wrong = self._wrong(clients, scope.get("path", ""))
        if wrong:
            await answer(scope, send, "request_invalid", 400, wrong)
            return
        if clients[0].scheme in _SECURE:
            scope["scheme"] = "wss" if scope["type"] == "websocket" else "https"
        if clients[0].address is not None:
            scope["client"] = (str(clients[0].address), 0)
        await self._app(scope, receive, send)

    def _wrong(self, clients: list[Hop], path: str) -> str:
        """Return what is wrong with the way of a request, or empty."""
        client = clients[0]
        if any(each != client for each in clients):
            return "Forwarded and X-Forwarded-* tell of different clients"
        if client.scheme in _SECURE or (not client.scheme and (not self._only or path in _HEALTH)):
            return ""
        if not client.scheme:
            return "the proxy does not say how the client reached it: let it set X-Forwarded-Proto"
        return "the client reached the proxy in plain text"


def _ways(headers: Iterable[tuple[bytes, bytes]]) -> list[list[Hop]]:
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
        ways.append([Hop(parsed(each.strip()), scheme) for each in found.get(b"x-forwarded-for", [""])])
    if b"forwarded" in found:
        ways.append([_element(each) for each in found[b"forwarded"]])
    return ways


def _element(text: str) -> Hop:
    """Read one element of `Forwarded` (RFC 7239 section 4)."""
    pairs = [_PAIR.fullmatch(part) for part in text.split(";")]
    named = {match[1].lower(): match[2].strip('"') for match in pairs if match is not None}
    scheme = named.get("proto", "").lower()
    return Hop(parsed(named.get("for", "")), "https" if scheme in _SECURE else scheme)


def parsed(text: str) -> Address | None:
    """Return an address written with or without brackets and port, or `None` (`unknown`, `_hidden`)."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
