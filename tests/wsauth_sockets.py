"""What the tests of a real `wsauth serve` do with it: sockets held open, the admin API, who lives beside it."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_hex
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from pwdlib.hashers.argon2 import Argon2Hasher

from tests.attacks.wire import Answer, Frame, Wire, frame, request, wire
from tests.leaks import secret
from tests.wsauth_server import PATIENCE, Serving

__all__ = [
    "Sockets",
    "admin",
    "asked",
    "bearer",
    "called",
    "echoes",
    "endings",
    "eventually",
    "is_ready",
    "new_password",
    "note_secrets",
    "people",
    "port_of",
    "pulse",
    "refusal",
    "said",
]

T = TypeVar("T")
_JWS = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}")


def new_password(name: str) -> str:
    """Return a password that nobody has and that is good enough."""
    return secret(f"a horse named {token_hex(8)}", f"a password of {name}")


def port_of(url: str) -> int:
    """Return the port of a URL."""
    port = urlsplit(url).port
    assert port is not None
    return port


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents a token."""
    return {"Authorization": f"Bearer {token}"}


async def people(at: Serving, names: Sequence[str], *, roles: Sequence[str] = ()) -> str:
    """Import these people, which is one command, and return the password that they share."""
    password = new_password("everybody")
    hashed = Argon2Hasher(time_cost=2, memory_cost=19456, parallelism=1).hash(password)
    lines = [json.dumps({"username": name, "password_hash": hashed, "roles": list(roles)}) for name in names]
    file = at.folder / f"people-{token_hex(4)}.jsonl"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    done = await at.command("users", "import", str(file))
    assert done.status == 0, done.err
    return password


class Sockets(AsyncExitStack):
    """Hold sockets open until the block ends."""

    async def open(self, at: Serving, token: str, path: str = "/ws", *lines: str) -> Wire:
        """Return a socket that was opened with this token."""
        socket = await self.enter_async_context(wire(port_of(at.http), handshake(token, path, *lines)))
        answer = await socket.answer()
        assert answer.status == 101, (answer.status, answer.body)
        return socket

    async def open_many(self, at: Serving, tokens: Sequence[str], together: int = 20) -> list[Wire]:
        """Return a socket for each of these tokens, in their order."""
        found: list[Wire] = []
        for start in range(0, len(tokens), together):
            part = tokens[start : start + together]
            found += await asyncio.gather(*(self.open(at, token) for token in part))
        return found


def handshake(token: str, path: str = "/ws", *lines: str) -> bytes:
    """Return a handshake with this token."""
    return request(path, f"Authorization: Bearer {token}", *lines)


async def refusal(at: Serving, token: str, path: str = "/ws", *lines: str) -> Answer:
    """Return the answer to a handshake with this token."""
    async with wire(port_of(at.http), handshake(token, path, *lines)) as socket:
        return await socket.answer()


async def echoes(socket: Wire, text: str = "hi") -> bool:
    """Tell whether the socket is open and somebody answers behind it."""
    socket.send(frame(text))
    return await socket.text() == text


async def endings(sockets: Sequence[Wire], within: float = 2.0) -> list[Frame]:
    """Return the close frames of all these sockets."""
    return list(await asyncio.gather(*(socket.closed(within) for socket in sockets)))


@asynccontextmanager
async def admin(at: Serving, key: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """Give a client of the admin API."""
    async with httpx2.AsyncClient(
        base_url=f"{at.admin}/admin/api", headers=bearer(key), timeout=PATIENCE, trust_env=False
    ) as client:
        yield client


async def called(method: str, url: str, token: str = "", body: Any = None, **headers: str) -> httpx2.Response:
    """Return the answer to one request; the secrets in it are searched for in everything written."""
    sent = {**(bearer(token) if token else {}), **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx2.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
        answer = await client.request(method, url, json=body, headers=sent)
    note_secrets(answer.text)
    return answer


def note_secrets(text: str) -> None:
    """Have what a JSON answer shows once searched for in everything written."""
    for found in _JWS.findall(text):
        secret(found, "a token")
    try:
        answer = json.loads(text)
    except ValueError:
        return
    if isinstance(answer, dict):
        for name in ("access_token", "refresh_token", "csrf_token", "ticket", "password", "api_key"):
            # In the discovery document these names stand for paths.
            if isinstance(answer.get(name), str) and not answer[name].startswith("/"):
                secret(answer[name], f"a {name}")


async def asked(at: Serving, path: str) -> tuple[int, str]:
    """Return status and text of a public page."""
    answer = await called("GET", at.http + path)
    return answer.status_code, answer.text


async def is_ready(at: Serving) -> str:
    """Return what `/readyz` says."""
    return (await asked(at, "/readyz"))[1]


async def said(at: Serving, pattern: str, within: float = 3.0) -> str:
    """Return the line that the server wrote about something, once it has."""

    async def line() -> str:
        return next((line for line in at.output().splitlines() if re.search(pattern, line)), "")

    return await eventually(line, within)


async def eventually(what: Callable[[], Awaitable[T]], within: float = 3.0) -> T:
    """Return the first true thing that is found, looked for again and again; or the last thing when time is up."""
    until = asyncio.get_running_loop().time() + within
    while not (found := await what()) and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110  no event comes from another process
        await asyncio.sleep(0.03)
    return found


@asynccontextmanager
async def pulse(sockets: Sequence[Wire], pause: float = 0.02) -> AsyncGenerator[list[int]]:
    """Send numbered messages on these sockets, one after the other, until the block ends; give how many came back."""
    counts = [0] * len(sockets)
    stop = asyncio.Event()

    async def beat(which: int) -> None:
        while not stop.is_set():
            assert await echoes(sockets[which], f"beat {counts[which]}")
            counts[which] += 1
            await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as beating:
        for which in range(len(sockets)):
            beating.create_task(beat(which))
        try:
            yield counts
        finally:
            stop.set()
