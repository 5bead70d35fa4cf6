"""The real server under attack: its people, what pages and programs do there, and what its log says about it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

import httpx2
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.leaks import secret
from tests.wsauth_server import Serving, serving
from wsauth.guard.configured import backend_of
from wsauth.settings import load

__all__ = [
    "EVIL",
    "MIRROR",
    "ORIGIN",
    "PASSWORD",
    "PROXIED",
    "Page",
    "Plane",
    "bearer",
    "cookie_of",
    "ending",
    "explained",
    "lines",
    "mirror",
    "nobody",
    "noted",
    "plane",
    "populate",
    "quiet",
    "refused",
    "said",
    "serves_the_next",
    "turned_away",
]

ORIGIN = "https://app.example.com"
EVIL = "https://evil.example"
PASSWORD = secret(token_urlsafe(18), "the password of everybody at the server")
PEOPLE = ("alice", "bob", "mallory", "carol", "dave", "erin", "frank")
SERVICES = ("probe", "robot")
PROXIED = {"X-Forwarded-Proto": "https"}
"""What a proxy says that ends TLS in front of the server."""
PATIENCE = 3.0
"""Seconds within which everything here happens."""
MIRROR = "asgi:tests.attacks.plane:mirror"


class Plane:
    """Be a server with people.

    Attributes:
        serving: its process.
        keys: of the services; `probe` is nobody's business but the next client's.
        headers: what every request to it carries.
        tls: what trusts its certificate.
    """

    def __init__(self, serving: Serving, keys: Mapping[str, str], headers: Mapping[str, str], tls: Any = True) -> None:
        self.serving = serving
        self.keys = keys
        self.headers = headers
        self.tls = tls
        self.http = httpx2.AsyncClient(base_url=serving.http, headers=dict(headers), verify=tls, trust_env=False)

    @property
    def port(self) -> int:
        """Return the public port."""
        return urlsplit(self.serving.http).port or 0

    @property
    def cookie(self) -> str:
        """Return the name of the session cookie there."""
        return "__Host-wsauth" if self.headers or self.serving.http.startswith("https") else "wsauth"

    async def login(self, name: str) -> dict[str, Any]:
        """Sign in with tokens."""
        reply = await self.http.post("/auth/login", json={"username": name, "password": PASSWORD})
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return noted(answer)

    async def page(self, name: str, origin: str = ORIGIN, **cookies: str) -> "Page":
        """Sign in on a page of this origin, with a cookie."""
        jar = {"Cookie": "; ".join(f"{each}={value}" for each, value in cookies.items())} if cookies else {}
        body = {"username": name, "password": PASSWORD, "cookie": True}
        reply = await self.http.post("/auth/login", json=body, headers={"Origin": origin, **jar})
        assert reply.status_code == 200, reply.text
        self.http.cookies.clear()
        answer = noted(reply.json())
        value = cookie_of(reply, self.cookie)
        return Page(self, origin, value, answer["csrf_token"], answer["session_id"], reply)

    async def refresh(self, refresh_token: str) -> httpx2.Response:
        """Use a refresh token."""
        reply = await self.http.post("/auth/refresh", json={"refresh_token": refresh_token})
        if reply.status_code == 200:
            noted(reply.json())
        return reply

    async def ticket(self, token: str, headers: Mapping[str, str] | None = None, **wish: str) -> str:
        """Return a ticket for whoever has this token."""
        reply = await self.http.post("/auth/ticket", json=wish, headers={**bearer(token), **(headers or {})})
        assert reply.status_code == 200, reply.text
        return secret(reply.json()["ticket"], "a ticket")

    def open(self, path: str = "/ws", *, headers: Mapping[str, str] | None = None, **options: Any) -> connect:
        """Return a WebSocket with these headers, to be entered."""
        sent = {**self.headers, **(headers or {})}
        if self.serving.ws.startswith("wss"):
            options["ssl"] = self.tls
        return connect(
            f"{self.serving.ws}{path}", additional_headers=sent, proxy=None, open_timeout=PATIENCE, **options
        )

    def as_(self, token: str, path: str = "/ws", **options: Any) -> connect:
        """Return a WebSocket of whoever has this token."""
        return self.open(path, headers=bearer(token), **options)


@dataclass(frozen=True)
class Page:
    """Be a page with the cookie of a login.

    Attributes:
        reply: the answer to the login.
    """

    plane: Plane
    origin: str
    cookie: str
    csrf_token: str
    session_id: str
    reply: httpx2.Response

    @property
    def jar(self) -> dict[str, str]:
        """Return the cookie's header."""
        return {"Cookie": f"{self.plane.cookie}={self.cookie}"}

    @property
    def headers(self) -> dict[str, str]:
        """Return what the page sends with a change."""
        return {"Origin": self.origin, "X-CSRF-Token": self.csrf_token, **self.jar}

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Return the answer to a request of the page; `json=` is its body."""
        return await self.plane.http.request(method, path, headers=self.headers, **options)

    def open(self, path: str = "/ws", **options: Any) -> connect:
        """Return a WebSocket of the page."""
        return self.plane.open(path, headers={"Origin": self.origin, **self.jar}, **options)


def noted(answer: dict[str, Any]) -> dict[str, Any]:
    """Have the secrets of a login searched for in all logs, and return the answer."""
    for slot in ("access_token", "refresh_token", "csrf_token"):
        if slot in answer:
            secret(answer[slot], f"a login's {slot}")
    return answer


def cookie_of(reply: httpx2.Response, name: str) -> str:
    """Return the value that an answer sets for a cookie."""
    for line in reply.headers.get_list("set-cookie"):
        found, _, rest = line.partition("=")
        if found == name and (value := rest.partition(";")[0]):
            return secret(value, "a session cookie")
    raise AssertionError(f"no cookie {name} was set: {reply.headers.get_list('set-cookie')}")


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents a token."""
    return {"Authorization": f"Bearer {token}"}


async def populate(folder: Path, config: str) -> dict[str, str]:
    """Write the configuration and make the people, who all have the password, and services; return their API keys."""
    file = folder / "wsauth.toml"
    file.write_text(config, "utf-8")
    backend = backend_of(load(file, {}), follows=False)
    local = backend.local
    assert local is not None
    await backend.open()
    try:
        hashed = await local.passwords.hash(PASSWORD)
        for name in PEOPLE:
            await local.users.add_hashed(name, hashed, roles=["member"])
        return {name: secret((await local.users.add_service(name))[1], f"the API key of {name}") for name in SERVICES}
    finally:
        await backend.aclose()


@asynccontextmanager
async def plane(
    folder: Path,
    config: str,
    *arguments: str,
    headers: Mapping[str, str] | None = None,
    tls: Any = True,
    environ: Mapping[str, str] | None = None,
) -> AsyncGenerator[Plane]:
    """Run a server with people; the folder may have had one before, whose people it then has.

    Args:
        folder: of store and key.
        config: the text of `wsauth.toml`.
        arguments: of `wsauth serve`.
        headers: that every request carries.
        tls: what trusts its certificate.
        environ: of the process.
    """
    remembered = folder / "keys.json"
    if not remembered.exists():
        remembered.write_text(json.dumps(await populate(folder, config)), "utf-8")
    keys = json.loads(remembered.read_text("utf-8"))
    async with serving(folder, *arguments, config=config, environ=environ) as process:
        found = Plane(process, keys, headers or {}, tls)
        try:
            yield found
        finally:
            await found.http.aclose()


# What is seen.


async def lines(server: Plane, *parts: str, within: float = PATIENCE) -> Sequence[str]:
    """Return the lines of the log that hold all of these, once there is one."""
    until = asyncio.get_running_loop().time() + within
    while not (found := said(server, *parts)):
        assert asyncio.get_running_loop().time() < until, f"{parts} in no line of\n{server.serving.output()[-2000:]}"
        await asyncio.sleep(0.02)
    return found


def said(server: Plane, *parts: str) -> list[str]:
    """Return the lines of the log that hold all of these now."""
    return [line for line in server.serving.output().splitlines() if all(part in line for part in parts)]


async def explained(server: Plane, refusal_id: str) -> str:
    """Return the one line that tells of a refusal (or of a closing) by its id."""
    found = await lines(server, f"id={refusal_id}")
    told = [line for line in found if "Refused" in line] or list(found)
    assert len(told) == 1, found
    return told[0]


async def refused(server: Plane, reply: httpx2.Response, status: int, *codes: str) -> str:
    """See that a request was refused like this, that nobody may keep the answer, and that the log has one line."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert "no-store" in reply.headers["cache-control"]
    problem = reply.json()
    assert problem["code"] in codes, problem
    await explained(server, problem["id"])
    return str(problem["code"])


async def turned_away(server: Plane, opening: connect) -> str:
    """See that a handshake is refused, as HTTP or by an accepted socket that is closed, and return the code."""
    try:
        async with opening as socket:
            code, refusal_id = await ending(socket)
    except InvalidStatus as error:
        problem = json.loads(error.response.body or b"{}")
        code, refusal_id = problem["code"], problem["id"]
    await explained(server, refusal_id)
    return code


async def nobody(opening: connect) -> None:
    """See that a handshake shows nothing that the server takes for a credential: it is refused, or asked for one."""
    status = 101
    try:
        async with opening as socket, asyncio.timeout(PATIENCE):
            assert json.loads(await socket.recv())["type"] == "auth_required"
    except InvalidStatus as error:
        status = error.response.status_code
    assert status == 101 or 400 <= status < 500


async def ending(socket: ClientConnection, within: float = PATIENCE) -> tuple[str, str]:
    """Wait until the server closes, and return the code and the id of the reason."""
    with suppress(ConnectionClosed):
        async with asyncio.timeout(within):
            while True:
                await socket.recv()
    assert socket.close_reason, f"closed with {socket.close_code} and without a reason"
    code, _, rest = socket.close_reason.partition(";")
    return code, rest.partition("id=")[2].partition(";")[0]


async def quiet(socket: ClientConnection, text: str = "still here") -> None:
    """See that a socket is open: the echo answers."""
    async with asyncio.timeout(PATIENCE):
        await socket.send(text)
        while await socket.recv() != text:
            pass


async def serves_the_next(server: Plane) -> None:
    """See that the process lives and lets the next client in."""
    assert server.serving.alive
    async with server.as_(server.keys["probe"]) as socket:
        await quiet(socket, "next")


async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell a connection what the application sees of its handshake, then send every message back."""
    await receive()
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    seen = {"query": scope["query_string"].decode("latin-1"), "path": scope["path"], "headers": headers}
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps({**seen, "subprotocols": scope["subprotocols"]})})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
