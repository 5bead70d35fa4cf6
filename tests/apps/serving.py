"""A small application for `wsauth serve`: it says which process answers, and echoes; and what starts it.

Run as `python -m tests.apps.serving KEY=VALUE …`, each a key of the configuration such as `server.port=0`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.allowing import FREELY
from wsauth import Connection, Guard, PasswordVerifier, Route
from wsauth.errors import ConfigurationError
from wsauth.integrations.asgi.types import App, Receive, Scope, Send
from wsauth.serve import Urls, run
from wsauth.settings import Settings, load

FACTORY = "tests.apps.serving:factory"
UPSTREAM = "asgi:tests.apps.serving:echo"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo on a WebSocket, or say how the client came; at `/denied` say no."""
    await receive()
    if scope["path"] == "/denied":
        await send({"type": "websocket.http.response.start", "status": 403, "headers": [(b"x-secret", b"1")]})
        await send({"type": "websocket.http.response.body", "body": b"no"})
        return
    await asyncio.sleep(0.05)  # as if it looked something up: what the client sends meanwhile waits
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text") or ""
        await send({"type": "websocket.send", "text": scope["scheme"] if text == "scheme?" else text})


class Echo:
    """Be the application of one process: everybody may connect, as nobody."""

    def __init__(self, urls: Urls) -> None:
        self.urls = urls
        known = PasswordVerifier(lambda _name, _password: None)
        self.guard = Guard(
            verifiers=[known], origins=[], routes=[Route("/*", anonymous=True)], closed=True, allowances=FREELY
        )
        self.applications: Mapping[str, App] = {UPSTREAM: echo}

    def assertion(self, connection: Connection, audience: str) -> str | None:
        """Sign nothing."""
        return None

    async def start(self) -> None:
        """Start, or fail as the environment says."""
        if os.environ.get("SERVING_DIES"):
            os._exit(3)
        if os.environ.get("SERVING_MISCONFIGURED"):
            raise ConfigurationError("store.url: the file is no store; name another one")
        await self.guard.start()

    async def drain(self, within: float) -> None:
        """Close the sockets at once; with `SERVING_DRAINS` it takes all the time there is."""
        await self.guard.connections.drain(0)
        if os.environ.get("SERVING_DRAINS"):
            await asyncio.sleep(within)

    async def aclose(self) -> None:
        """Say so."""
        await self.guard.aclose()
        sys.stderr.write("the application is closed\n")

    async def public(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with what is known about it."""
        await _tell(self, scope, receive, send, "public")

    async def admin(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with what is known about it."""
        await _tell(self, scope, receive, send, "admin")


async def _tell(app: Echo, scope: Scope, receive: Receive, send: Send, listener: str) -> None:
    body = bytearray()
    calls = 0
    more = True
    while more:
        message = await receive()
        calls += 1
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    told: dict[str, Any] = {
        "pid": os.getpid(),
        "listener": listener,
        "urls": [app.urls.public, app.urls.admin],
        "path": scope["path"],
        "scheme": scope["scheme"],
        "client": scope["client"][0] if scope["client"] else None,
        "headers": [name.decode() for name, _ in scope["headers"]],
        "body": len(body),
        "calls": calls,
    }
    answer = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


class EchoFactory:
    """Make it."""

    def prepare(self, settings: Settings) -> list[str]:
        """Return a line to print."""
        return [f"prepared for {settings.server.workers}"]

    def build(self, settings: Settings, urls: Urls) -> Echo:
        """Return the application."""
        return Echo(urls)


factory = EchoFactory()


def main() -> int:
    """Serve with these keys."""
    keys = {"routes.0.path": "/*", "routes.0.upstream": UPSTREAM}
    keys |= dict(argument.split("=", 1) for argument in sys.argv[1:])
    environ = {"WSAUTH__" + key.upper().replace(".", "__"): value for key, value in keys.items()}
    try:
        settings = load(Path("/dev/null"), environ)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return run(settings, FACTORY)


if __name__ == "__main__":
    sys.exit(main())
