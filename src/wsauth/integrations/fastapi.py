"""FastAPI dependencies: `Annotated[Connection, connection()]` and `Annotated[Identity, identity("users:kick")]`."""

import logging
from typing import Any

from fastapi import Depends, HTTPException
from fastapi.requests import HTTPConnection

from wsauth.core.identity import Identity
from wsauth.core.refusals import TABLE
from wsauth.errors import ConfigurationError, Refused
from wsauth.integrations.asgi.http import Request as Authenticated
from wsauth.services.connections.connection import Connection

__all__ = ["connection", "identity"]

_log = logging.getLogger("wsauth")

_MISSING = (
    "no guard stands in front: app.add_middleware(WebSocketAuthMiddleware, guard=guard); "
    "connection() is for WebSocket routes, identity() for HTTP routes"
)


def connection(*permissions: str) -> Any:
    """Depend on the guarded connection of a WebSocket route, and on these permissions.

    Without one of them the handshake is refused with 403 (after in-band authentication: close 3003).
    """

    async def depend(asked: HTTPConnection) -> Connection:
        found = asked.scope.get("wsauth")
        if not isinstance(found, Connection):
            raise ConfigurationError(_MISSING)
        for permission in permissions:
            await found.authorize(permission)
        return found

    return Depends(depend)


def identity(*permissions: str) -> Any:
    """Depend on whoever makes an HTTP request, and on these permissions; 401 or 403 without."""

    async def depend(asked: HTTPConnection) -> Identity:
        found = asked.scope.get("wsauth")
        if not isinstance(found, Authenticated):
            raise ConfigurationError(_MISSING)
        try:
            return found.require(*permissions)
        except Refused as error:
            _log.info("HTTP %s at %r: %s", error.code, asked.scope["path"], error.reason)
            rule = TABLE.get(error.code, TABLE["credentials_invalid"])
            headers = {"WWW-Authenticate": "Bearer"} if rule.status == 401 else None
            raise HTTPException(rule.status or 503, rule.text, headers=headers) from None

    return Depends(depend)
