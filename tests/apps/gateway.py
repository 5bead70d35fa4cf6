"""The gateway in front of one of the chats: the same guard, the same application, now as an upstream of a route.

Run as `python -m tests.apps.gateway MODULE PORT LEVEL`. What the tests ask for at `/control/…` is answered in the
same process.
"""

import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.apps.guarding import CLOSED_VARIABLE, REST, ROUTES
from wsauth import Connection
from wsauth.integrations.asgi.types import App, Receive, Scope, Send
from wsauth.serve import Urls, run
from wsauth.settings import Settings, load

FACTORY = "tests.apps.gateway:factory"


class Chat:
    """Be a chat behind the gateway, and its door for the tests in front.

    Args:
        upstream: `asgi:MODULE:bare`.
    """

    def __init__(self, upstream: str) -> None:
        module: Any = import_module(upstream.split(":")[1])
        self.guard = module.guard
        self.public: App = module.app
        self.applications: Mapping[str, App] = {upstream: module.bare}

    async def admin(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be off."""
        raise NotImplementedError

    def assertion(self, connection: Connection, audience: str) -> str | None:
        """Sign nothing: the upstream is in this process."""
        return None

    async def start(self) -> None:
        """Start the guard."""
        await self.guard.start()

    async def drain(self, within: float) -> None:
        """Close every socket."""
        await self.guard.connections.drain(within)

    async def aclose(self) -> None:
        """Close the guard."""
        await self.guard.aclose()


class ChatFactory:
    """Make it."""

    def prepare(self, settings: Settings) -> list[str]:
        """Do nothing."""
        return []

    def build(self, settings: Settings, urls: Urls) -> Chat:
        """Return the application, which logs as much as it does elsewhere."""
        logging.getLogger().setLevel(os.environ["GATEWAY_LOG_LEVEL"].upper())
        return Chat(settings.routes[0].upstreams[0])


factory = ChatFactory()


def main() -> int:
    """Serve a chat at every path that its guard knows."""
    module, port, level = sys.argv[1:]
    keys = {"SERVER__PORT": port, "SERVER__DRAIN_TIMEOUT": "1s", "ADMIN__LISTEN": "off"}
    for at, route in enumerate([*ROUTES, REST]):
        keys |= {f"ROUTES__{at}__PATH": route.path, f"ROUTES__{at}__UPSTREAM": f"asgi:{module}:bare"}
    settings = load(Path("/dev/null"), {f"WSAUTH__{key}": value for key, value in keys.items()})
    os.environ |= {CLOSED_VARIABLE: "1", "GATEWAY_LOG_LEVEL": level}
    return run(settings, FACTORY)


if __name__ == "__main__":
    sys.exit(main())
