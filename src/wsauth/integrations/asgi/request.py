"""Read the handshake from a WebSocket scope."""

from functools import lru_cache
from ipaddress import ip_address

from wsauth.core.handshake import Handshake, read
from wsauth.core.head import check_target
from wsauth.core.routes import NOWHERE, Policy, Routes
from wsauth.core.tokens.envelope import shown
from wsauth.errors import Refused
from wsauth.integrations.asgi.types import Scope

__all__ = ["address_of", "is_private", "path_of", "read_handshake"]


def read_handshake(scope: Scope, path: str, routes: Routes, cookies: frozenset[str], private: bool) -> Handshake:
    """Read a handshake, its policy that of `path`, the path as sent."""
    policy = routes.find(path)
    query = scope.get("query_string", b"")
    try:
        _check_path(scope, path, policy, routes)
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


def _check_path(scope: Scope, path: str, policy: Policy, routes: Routes) -> None:
    check_target(path)
    if policy is NOWHERE:
        raise Refused("not_found", f"there is no route at {shown(path)}", mend="[[routes]] path")
    decoded = scope["path"]
    if decoded != path and routes.find(decoded) is not policy:
        raise Refused("request_invalid", "the path means one route as sent and another one decoded")


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
