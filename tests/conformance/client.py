"""The other end of the conformance suite: who connects, what they present, and what they hear."""

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.apps.guarding import PAGE
from tests.conformance.differences import DIFFERENCES
from tests.issuing import claims, signed
from tests.leaks import secret
from tests.servers import Running

__all__ = ["PATIENCE", "Refusal", "Site", "Socket", "basic", "eventually", "token"]

PATIENCE = 30.0
"""Seconds to wait for what has to happen; a machine under load is slow."""


def token(subject: str, *, ttl: float = 300, age: float = 10, **changes: Any) -> str:
    """Return a token that somebody got `age` seconds ago and that is good for another `ttl`."""
    now = time.time()
    times = {"iat": now - age, "exp": now + ttl, "jti": token_hex(8)}
    return signed(claims(sub=subject, **(times | changes)))


def basic(username: str, password: str) -> str:
    """Return the credentials of RFC 7617."""
    return "Basic " + secret(b64encode(f"{username}:{password}".encode()).decode(), "basic credentials")


class Refusal:
    """Be what a refused handshake shows.

    Attributes:
        status: of the HTTP response; 0 where the handshake was accepted and closed.
        close: close code; 0 where it was not accepted.
        code: of the refusal table, empty where the server has no way to say it.
        body: the problem document, or empty.
        headers: of the HTTP response.
        messages: what came between the 101 and the close.
    """

    def __init__(self) -> None:
        self.status = 0
        self.close = 0
        self.code = ""
        self.reason = ""
        self.body: dict[str, Any] = {}
        self.headers: Mapping[str, str] = {}
        self.messages: list[Any] = []


class Socket:
    """Be one open WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, message: Any) -> None:
        """Send text or bytes as they are, anything else as JSON."""
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def auth(self, token: str) -> None:
        """Present a token."""
        await self.say({"type": "auth", "token": token})

    async def hear(self) -> Any:
        """Return the next message; a JSON object decoded."""
        async with asyncio.timeout(PATIENCE):
            message = await self.connection.recv()
        return json.loads(message) if message[:1] == "{" else message

    async def ask(self, message: Any) -> Any:
        """Send and return what comes next."""
        await self.say(message)
        return await self.hear()

    async def hears(self, kind: str, **members: Any) -> dict[str, Any]:
        """Return the next message, which is a control message of this type with these members."""
        heard = await self.hear()
        assert heard.get("type") == kind, heard
        assert heard["wsauth"] == 1
        assert {name: heard.get(name) for name in members} == members, heard
        assert isinstance(heard, dict)
        return heard

    async def rest(self) -> list[Any]:
        """Return everything that still comes before the end."""
        messages = []
        try:
            while True:
                messages.append(await self.hear())
        except ConnectionClosed:
            return messages

    async def closed(self, code: int, reason: str = "") -> str:
        """Wait for the close frame with this code and a reason that begins so; return the reason."""
        left = await self.rest()
        got = self.connection.close_code, self.connection.close_reason or ""
        assert got[0] == code, (got, str(left)[-500:])
        assert got[1].startswith(reason), got
        return got[1]


class Site:
    """Be a running application as its clients see it.

    Attributes:
        difference: what its server does in its own way.
    """

    def __init__(self, running: Running) -> None:
        self.running = running
        self.difference = DIFFERENCES[running.server]
        # A connection of its own for each: servers end idle ones after seconds, perhaps just when they are used again.
        alone = httpx2.Limits(max_keepalive_connections=0)
        self._http = httpx2.AsyncClient(base_url=running.http, timeout=PATIENCE, limits=alone)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @asynccontextmanager
    async def open(
        self,
        path: str = "/echo",
        *,
        token: str = "",
        offers: Sequence[str] = (),
        origin: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Socket]:
        """Connect, with a token in the header where one is given, until the block ends."""
        extra = dict(headers or {})
        if token:
            extra["Authorization"] = f"Bearer {token}"
        async with connect(
            self.running.url + path,
            additional_headers=extra,
            subprotocols=[Subprotocol(offer) for offer in offers] or None,
            origin=Origin(origin) if origin else None,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            open_timeout=PATIENCE,
            proxy=None,
            max_size=None,
        ) as connection:
            yield Socket(connection)

    async def refused(self, path: str = "/echo", **presented: Any) -> Refusal:
        """Connect, and return how that was refused."""
        refusal = Refusal()
        try:
            async with self.open(path, **presented) as socket:
                refusal.messages = await socket.rest()
                refusal.close = socket.connection.close_code or 0
                refusal.reason = socket.connection.close_reason or ""
                refusal.code = refusal.reason.partition(";")[0]
        except InvalidStatus as error:
            response = error.response
            refusal.status = response.status_code
            refusal.headers = response.headers
            if response.headers.get("content-type") == "application/problem+json":
                refusal.body = json.loads(response.body or b"")
                refusal.code = refusal.body["code"]
        return refusal

    async def says_no(self, code: str, status: int, close: int, path: str = "/echo", **presented: Any) -> Refusal:
        """Connect, and check that the answer is this refusal by HTTP, or what the server has instead."""
        refusal = await self.refused(path, **presented)
        if self.difference.denies:
            assert (refusal.status, refusal.code) == (status, code), vars(refusal)
            check_problem(refusal)
        elif close:
            assert (refusal.status, refusal.close, refusal.code) == (0, close, code), vars(refusal)
        else:
            assert (refusal.status, refusal.body) == (403, {}), vars(refusal)
        return refusal

    async def shows_no(self, code: str, close: int, path: str = "/echo", **presented: Any) -> Refusal:
        """Connect as an allowed page, and check that the refusal is accepted and closed, so that it can be read."""
        refusal = await self.refused(path, **({"origin": PAGE} | presented))
        assert (refusal.status, refusal.close) == (0, close), vars(refusal)
        assert refusal.code == code, vars(refusal)
        assert f"{code};id=" in refusal.reason
        return refusal

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """Make an HTTP request."""
        return await self._http.get(path, headers=headers)

    async def post(self, path: str, **headers: str) -> httpx2.Response:
        """Make an HTTP request that changes something."""
        return await self._http.post(path, headers=headers)

    async def control(self, verb: str, **asked: str) -> Any:
        """Have the chat do what an application does in its own code."""
        answer = await self._http.post(f"/control/{verb}?{urlencode(asked, quote_via=quote)}")
        return secret(answer.json(), "a ticket") if verb == "ticket" else answer.json()

    async def sees(self, subject: str, *what: Any) -> None:
        """Wait until the chat and the guard's events have noticed all of this about somebody."""

        async def noticed() -> bool:
            seen = await self.control("seen", subject=subject)
            return all(one in seen for one in what)

        await eventually(noticed)

    async def forgets(self, open_before: int) -> None:
        """Wait until the guard holds no more connections than before."""

        async def forgotten() -> bool:
            return bool(await self.control("count") <= open_before)

        await eventually(forgotten)


def check_problem(refusal: Refusal) -> None:
    """Check the parts of a problem document that belong together (RFC 9457, RFC 9110 section 11.6.1)."""
    assert refusal.body["status"] == refusal.status
    assert len(refusal.body["id"]) == 12
    assert refusal.headers["cache-control"] == "no-store"
    if refusal.status == 401:
        assert refusal.headers["www-authenticate"] == "Bearer"


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = PATIENCE) -> None:
    """Ask until the answer is yes, and fail when it is not within that many seconds."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110  what is asked lives in another process
            await asyncio.sleep(0.05)
