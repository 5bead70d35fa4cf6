"""Behind proxies that end TLS: who is believed about the client (`wsauth.core.peers`), for HTTP requests."""

from collections.abc import Sequence

from wsauth.core.peers import Network, Peers
from wsauth.core.refusals import TABLE
from wsauth.errors import Refused
from wsauth.integrations.asgi.request import address_of
from wsauth.integrations.asgi.types import App, Receive, Scope, Send
from wsauth.serve.problems import answer

__all__ = ["Proxies"]


class Proxies:
    """Believe trusted proxies about the client.

    Args:
        app: answers.
        trusted: the proxies.
        only: nobody else may come, and nobody over plain http.
    """

    def __init__(self, app: App, trusted: Sequence[Network], *, only: bool) -> None:
        self._app = app
        self._peers = Peers(trusted, only=only)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            client = self._peers.client(scope.get("headers", ()), address_of(scope), scope.get("path", ""))
        except Refused as error:
            await answer(scope, send, error.code, TABLE[error.code].status or 400, error.reason)
            return
        if client.proxied:
            scope["wsauth.proxied"] = True
            if client.secure:
                scope["scheme"] = "https"
            if client.address != address_of(scope):
                scope["client"] = (client.address, 0)
        await self._app(scope, receive, send)
