"""Read the handshake from a WebSocket scope."""

from functools import lru_cache
from ipaddress import ip_address

from wsauth.core.handshake import Handshake, read
from wsauth.core.routes import Routes
from wsauth.errors import Refused
from wsauth.integrations.asgi.types import Scope

__all__ = ["address_of", "is_private", "path_of", "read_handshake"]


def read_handshake(scope: Scope, path: str, routes: Routes, cookies: frozenset[str], private: bool) -> Handshake:
    """Read a handshake, its policy that of `path`, the path as sent."""
    policy = routes.find(path)
    query = scope.get("query_string", b"")
    try:
        routes.check(path, policy, scope["path"])
    except Refused as error:
        handshake = Handshake(policy, list(scope["headers"]), query)
        handshake.refused = error
        return handshake
    return read(scope["headers"], query, _offers(scope), policy, private=private, cookies=cookies)


def path_of(scope: Scope) -> str:
    """Return the path as sent; where the server does not tell it, the decoded one."""
    raw = scope.get("raw_path")
    if raw is None:
        return str(scope["path"])
    return bytes(raw).partition(b"?")[0].decode("latin-1")


def _offers(scope: Scope) -> list[str]:
    """Return the subprotocols offered; old granian gives several in one entry."""
    offers: list[str] = scope.get("subprotocols") or []
    if offers and any("," in offer for offer in offers):
        return [part.strip() for offer in offers for part in offer.split(",")]
    return offers


def is_private(scope: Scope) -> bool:
    """Tell whether nobody can listen: TLS, or a peer on loopback."""
    return scope.get("scheme") in ("wss", "https") or _is_loopback(address_of(scope))


@lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def address_of(scope: Scope) -> str:
    """Return the peer's address, or empty."""
    client = scope.get("client")
    return str(client[0]) if client else ""
