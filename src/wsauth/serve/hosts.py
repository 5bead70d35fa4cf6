"""Refuse a Host that is not ours: 421 (RFC 9110 section 15.5.20). A rebound DNS name finds nobody (ATTACKS AD-03)."""

from collections.abc import Collection

from wsauth.core.request import host_name
from wsauth.integrations.asgi.types import App, Receive, Scope, Send
from wsauth.serve.problems import answer

__all__ = ["Hosts"]

_MISDIRECTED = 421


class Hosts:
    """Pass on what is addressed to these names, at whatever port.

    Args:
        app: answers it.
        names: ours, in lower case, without brackets and port.
        key: of the configuration, for the log.
    """

    def __init__(self, app: App, names: Collection[str], key: str) -> None:
        self._app = app
        self._names = names
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host: bytes = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if host_name(host) in self._names:
            await self._app(scope, receive, send)
        else:
            why = f"the Host {host.decode('latin-1')!r} is not ours; to change it: {self._key}"
            await answer(scope, send, "request_invalid", _MISDIRECTED, why)
