"""Two ways to a backend that knows nothing of wsauth: straight to it, and through the gateway."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from websockets import Subprotocol
from websockets.asyncio.client import connect, unix_connect
from websockets.typing import Origin

from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import people

__all__ = ["PAGE", "WAYS", "Backend", "Door", "Gateway", "gateway", "new_room"]

PAGE = "https://chat.example.com"
"""The page whose users talk here. The backends and the gateway know it."""
WAYS = ("direct", "gateway")
_LARGE = 2**21
"""Bytes of the largest message that is taken."""
_CONFIG = f"""
[server]
origins = ["{PAGE}"]

[roles]
member = ["chat:lobby:send", "chat:*:read"]
"""


@dataclass(frozen=True)
class Backend:
    """One backend.

    Attributes:
        name: of its library.
        upstream: its address, as a route of the gateway names it.
        path: the route that leads to it.
        reasons: it gives reasons to its close codes; daphne does not.
    """

    name: str
    upstream: str
    path: str
    reasons: bool = True

    def route(self) -> str:
        """Return the route as `wsauth.toml` has it."""
        return f'[[routes]]\npath = "{self.path}"\nupstream = "{self.upstream}"\nmax_message = "2MiB"\n'


@dataclass(frozen=True)
class Door:
    """One way to one backend.

    Attributes:
        backend: which.
        gateway: `ws://127.0.0.1:PORT` of the gateway; empty for straight to the backend.
        tokens: who has which access token; straight to the backend none are needed.
    """

    backend: Backend
    gateway: str = ""
    tokens: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Return `ws://127.0.0.1:PORT` of whoever answers."""
        return self.gateway or self.backend.upstream

    def headers(self, who: str) -> dict[str, str]:
        """Return the headers with which somebody's program connects."""
        return {"Authorization": f"Bearer {self.tokens[who]}"} if self.gateway else {}

    def connect(
        self,
        room: str,
        who: str = "alice",
        *,
        query: str = "",
        offers: Sequence[str] = (),
        headers: Sequence[tuple[str, str]] | None = None,
    ) -> connect:
        """Connect to a room with a token in a header, or with `headers` in its place."""
        uri = self.url + self.backend.path.replace("*", f"{room}/{query}")
        given: dict[str, Any] = {
            "additional_headers": list(self.headers(who).items()) if headers is None else list(headers),
            "origin": Origin(PAGE),
            "subprotocols": [Subprotocol(name) for name in offers] or None,
            "max_size": _LARGE,
        }
        if uri.startswith("unix:"):
            path = self.backend.upstream.removeprefix("unix:")
            return unix_connect(path, uri=f"ws://127.0.0.1{uri.removeprefix(self.url)}", **given)
        return connect(uri, proxy=None, **given)


@dataclass(frozen=True)
class Gateway:
    """A gateway in front of backends.

    Attributes:
        at: the server.
        logins: what Alice and Bob got when they signed in.
    """

    at: Serving
    logins: Mapping[str, Mapping[str, Any]]

    def door(self, backend: Backend) -> Door:
        """Return the way through this gateway."""
        return Door(backend, self.at.ws, {who: login["access_token"] for who, login in self.logins.items()})


@asynccontextmanager
async def gateway(
    folder: Path, *backends: Backend, options: Sequence[str] = (), more: str = ""
) -> AsyncGenerator[Gateway]:
    """Run `wsauth serve` in front of these backends, with Alice and Bob signed in.

    Args:
        folder: of its own.
        backends: each with a route.
        options: of `wsauth serve`.
        more: further lines of `wsauth.toml`.
    """
    routes = "\n".join([*(backend.route() for backend in backends), more])
    async with serving(folder, *options, config=f"{_CONFIG}\n{routes}") as at:
        password = await people(at, ["alice", "bob"], roles=["member"])
        yield Gateway(at, {who: await at.login(who, password) for who in ("alice", "bob")})


def new_room() -> str:
    """Return a room that is empty."""
    return f"room_{token_hex(4)}"
