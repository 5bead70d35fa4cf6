"""The middleware: plain ASGI, in front of any application."""

import asyncio
import logging

from wsauth.core.identity import NOBODY
from wsauth.core.permissions import Permissions
from wsauth.core.users import held_back
from wsauth.errors import ConfigurationError, Refused
from wsauth.integrations.asgi.host import Host
from wsauth.integrations.asgi.http import Request, is_question, read_credentials
from wsauth.integrations.asgi.request import address_of, is_private, path_of, read_handshake
from wsauth.integrations.asgi.servers import server_of
from wsauth.integrations.asgi.types import App, AsgiMessage, Guarding, Receive, Scope, Send
from wsauth.integrations.asgi.user import User

__all__ = ["WebSocketAuthMiddleware"]

_log = logging.getLogger("wsauth")


class WebSocketAuthMiddleware:
    """Stand in front of an application: no WebSocket reaches it without a lease.

    Args:
        app: any ASGI application.
        guard: a `wsauth.Guard`.
        blocks: blocked addresses are refused over HTTP too; not where blocks are taken back.
    """

    def __init__(self, app: App, guard: Guarding, *, blocks: bool = True) -> None:
        self.app = app
        self._blocks = blocks
        self.guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a connection, a request or the lifespan from the server.

        It is a coroutine function because servers tell ASGI 3 from ASGI 2 by that.
        """
        kind = scope["type"]
        if "wsauth" in scope:
            raise ConfigurationError("WebSocketAuthMiddleware stands twice in front of this application: add it once")
        if kind == "websocket":
            if not self.guard.started:
                await self.guard.start()
            await self._host(scope, receive, send).run(self.app)
        elif kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _host(self, scope: Scope, receive: Receive, send: Send) -> Host:
        guard = self.guard
        path, address, private = path_of(scope), address_of(scope), is_private(scope)
        handshake = read_handshake(scope, path, guard.routes, guard.cookies, private)
        host = Host(scope, receive, send, server_of(scope, send))
        host.connection = guard.connections.open(handshake, host, path, address, private)
        return host

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await self._authenticate(scope)
        user = User(request)
        await self.app({**scope, "wsauth": request, "user": user, "auth": user}, receive, send)

    async def _authenticate(self, scope: Scope) -> Request:
        guard, address = self.guard, address_of(scope)
        overriding, credentials = guard.authentication.overriding, None
        if overriding is not None:
            return Request(overriding, guard.roles.resolve(overriding), None)
        if guard.questions and is_question(scope, guard.questions):
            return Request(NOBODY, Permissions(()), None)
        try:
            credentials = read_credentials(scope, guard.cookies, guard.origins)
            if credentials is None:
                self._check_address(address, known=True)
                return Request(NOBODY, Permissions(()), None)
            if credentials.source == "basic" and "basic" not in guard.routes.find(path_of(scope)).sources:
                raise Refused(
                    "credentials_invalid",
                    "a password came, and no source is basic here",
                    mend='sources = [..., "basic"]',
                )
            if not guard.started:
                await guard.start()
            self._check_address(address, known=credentials.kind != "password")
            credentials.address = address
            identity = guard.authentication.recall(credentials)
            if identity is None:
                exhausted = guard.connections.throttling.exhausted(address) if credentials.kind == "password" else None
                if exhausted is not None:
                    raise exhausted
                async with asyncio.timeout(guard.routes.find(path_of(scope)).auth_timeout):
                    identity = await guard.authentication.verify(credentials, scope["path"], "")
            admitted = guard.connections.admit(identity, credentials)
            if isinstance(admitted, Refused):
                raise admitted
            required = held_back(admitted)
            if required is not None:
                return Request(NOBODY, Permissions(()), required, changing=admitted)
            return Request(admitted, guard.roles.resolve(admitted), None)
        except TimeoutError:
            late = Refused("unavailable", "the verification took too long", mend="auth_timeout", retry_after=1)
            return Request(NOBODY, Permissions(()), late)
        except Refused as error:
            throttling = guard.connections.throttling
            told = error if credentials is None else await throttling.failed_late(address, credentials, error)
            return Request(NOBODY, Permissions(()), told)

    def _check_address(self, address: str, *, known: bool) -> None:
        """Go on unless the address is blocked; `known`: no password comes, and a page may be read by a stranger."""
        kept_out = self.guard.connections.throttling.kept_out(address, known=known) if self._blocks else None
        if kept_out is not None:
            raise kept_out

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def started() -> AsgiMessage:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.guard.start()
                for route in self.guard.check(scope.get("app")):
                    _log.warning("no guard covers the WebSocket route %s", route)
            return message

        try:
            await self.app(scope, started, send)
        finally:
            await self.guard.aclose()
