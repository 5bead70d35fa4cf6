"""ASGI's own shapes (asgi.readthedocs.io), and the guard as an integration sees it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from wsauth.core.origins import Origins
from wsauth.core.permissions import Roles
from wsauth.core.routes import Routes
from wsauth.services.authentication import Authentication
from wsauth.services.connections.connections import Connections

__all__ = ["App", "AsgiMessage", "Guarding", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guarding(Protocol):
    """Be a guard: what `wsauth.Guard` gives to those who carry connections to it."""

    authentication: Authentication
    connections: Connections
    cookies: frozenset[str]
    questions: frozenset[tuple[str, str]]
    origins: Origins
    roles: Roles
    routes: Routes
    started: bool

    async def start(self) -> None:
        """Get ready; harmless when it is."""

    async def aclose(self) -> None:
        """Let go of everything."""

    def check(self, app: object) -> list[str]:
        """Name the WebSocket routes that nobody guards."""
