"""Who asks the admin API in these tests, and the sockets that what it does is seen on."""

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.wsauth_server import Serving, secret, serving

__all__ = ["ADMIN", "Office", "closed", "control", "office", "opened", "part"]

ADMIN = "correct horse battery staple"
"""The password of `admin`, the first user of every store here."""


class Office:
    """Be an administrator's desk at one server.

    Attributes:
        server: as it says.
        http: asks its admin API with the administrator's token.
    """

    def __init__(self, server: Serving, http: httpx2.AsyncClient) -> None:
        self.server = server
        self.http = http

    async def ask(self, method: str, path: str, body: object = None, *, token: str = "") -> httpx2.Response:
        """Ask the admin API, with another token or key where one is given."""
        headers = {"Authorization": f"Bearer {token}"} if token else None
        return await self.http.request(method, f"/admin/api{path}", json=body, headers=headers)

    async def get(self, path: str, status: int = 200) -> Any:
        """Return what there is at a path."""
        return self._read(await self.ask("GET", path), status)

    async def do(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        """Change something, and return the answer."""
        return self._read(await self.ask(method, path, body), status)

    async def refused(self, method: str, path: str, body: object = None, *, token: str = "") -> str:
        """Return status and code of a no."""
        reply = await self.ask(method, path, body, token=token)
        assert reply.headers["content-type"] == "application/problem+json", reply.text
        return f"{reply.status_code} {reply.json()['code']}"

    async def add(self, name: str, *, roles: Sequence[str] = (), grants: Sequence[str] = ()) -> str:
        """Add a user, and return their password."""
        added = await self.do("POST", "/users", {"username": name, "roles": roles, "grants": grants}, 201)
        return secret(added["password"], f"the first password of {name}")

    async def add_service(self, name: str, *grants: str) -> str:
        """Add a service, and return its API key."""
        added = await self.do("POST", "/users", {"username": name, "grants": grants, "service": True}, 201)
        return secret(added["api_key"], f"the API key of {name}")

    async def token(self, name: str, password: str) -> str:
        """Sign in, and return the access token."""
        return str((await self.server.login(name, password))["access_token"])

    async def ticket(self, **order: object) -> str:
        """Have a ticket made."""
        return secret((await self.do("POST", "/tickets", order))["ticket"], "an administrator's ticket")

    async def me(self, token: str) -> httpx2.Response:
        """Ask the public API who the holder of a token is."""
        async with httpx2.AsyncClient(base_url=self.server.http) as client:
            return await client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})

    @staticmethod
    def _read(reply: httpx2.Response, status: int) -> Any:
        assert reply.status_code == status, reply.text
        assert reply.headers["cache-control"] == "no-store"
        return None if status == 204 else reply.json()


@asynccontextmanager
async def office(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> AsyncGenerator[Office]:
    """Run a server in a folder, and sit down at its admin API."""
    secret(ADMIN, "the password of admin")
    async with serving(folder, *arguments, environ={"WSAUTH_ADMIN_PASSWORD": ADMIN, **(environ or {})}) as server:
        token = (await server.login("admin", ADMIN))["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=server.admin, headers=headers) as http:
            yield Office(server, http)


@asynccontextmanager
async def opened(server: Serving, *, token: str = "", ticket: str = "") -> AsyncGenerator[ClientConnection]:
    """Open a socket that speaks wsauth, and go on when it has an identity."""
    url = f"{server.ws}/ws" + (f"?ticket={ticket}" if ticket else "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(url, additional_headers=headers, subprotocols=["wsauth.v1"]) as socket:  # type: ignore[list-item]  # a NewType of the library's
        assert (await control(socket))["type"] == "auth_success"
        yield socket


async def control(socket: ClientConnection) -> dict[str, Any]:
    """Return the next message of wsauth's."""
    message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def closed(socket: ClientConnection) -> str:
    """Wait until a socket is closed, and return code and reason without the id."""
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
    kept = [part for part in (socket.close_reason or "").split(";") if not part.startswith("id=")]
    return f"{socket.close_code} {';'.join(kept)}"


def part(token: str, number: int) -> dict[str, Any]:
    """Return the header (0) or the claims (1) of a token."""
    text = token.split(".")[number]
    decoded: dict[str, Any] = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded
