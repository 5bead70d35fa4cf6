"""The gateway under attack: `wsauth serve` in front of an echo that keeps all it gets, and of whatever a test plays.

Both upstreams are in the process of the tests, so that a test sees what reached them, and what did not.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

from tests.attacks.wire import Answer, Frame, Wire, frame, request, wire
from tests.leaks import secret
from tests.rfc6455.peer import Peer
from tests.wsauth_server import ISSUER, Serving, serving
from tests.wsauth_sockets import eventually, port_of
from wsauth.guard.configured import backend_of
from wsauth.guard.local import Local
from wsauth.services.tokens import AccessTokens
from wsauth.settings import load
from wsauth.testing.clock import FakeClock

__all__ = [
    "ORIGIN",
    "SPEAKS",
    "Echo",
    "Head",
    "Play",
    "Played",
    "Site",
    "Upstream",
    "auth",
    "echoing",
    "gateway",
    "playing",
    "switching",
]

ORIGIN = "https://app.example.com"
SPEAKS = "Sec-WebSocket-Protocol: wsauth.v1"
PATIENCE = 10.0
"""Seconds after which silence fails a test."""
_TEXT_OF_MANY = 65_536


@dataclass(frozen=True)
class Head:
    """Hold the head of a request as an upstream got it.

    Attributes:
        start: the request line.
        headers: names in lower case, in their order.
    """

    start: str
    headers: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, raw: bytes) -> "Head":
        """Read one."""
        start, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        return cls(start, [(name.lower(), value[1:]) for name, _, value in (line.partition(":") for line in lines)])

    @property
    def target(self) -> str:
        """Return path and query."""
        return self.start.split(" ")[1]

    def all(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for each, value in self.headers if each == name]

    def one(self, name: str) -> str:
        """Return the value of a header that is there once."""
        (value,) = self.all(name)
        return value


class Echo:
    """Be a server of the websockets library, which answers every message with `SUBJECT: TEXT`, or with its bytes.

    Attributes:
        port: of 127.0.0.1.
        subjects: of all handshakes that came, as the gateway said; empty for nobody.
        delivered: every message that came, in order.
        open: who is connected.
    """

    def __init__(self) -> None:
        self.port = 0
        self.subjects: list[str] = []
        self.delivered: list[str | bytes] = []
        self.open: set[ServerConnection] = set()

    async def handle(self, connection: ServerConnection) -> None:
        """Serve one connection."""
        assert connection.request is not None
        subject = connection.request.headers.get("X-Wsauth-Subject", "")
        self.subjects.append(subject)
        self.open.add(connection)
        try:
            with suppress(ConnectionClosed):
                async for message in connection:
                    self.delivered.append(message)
                    await connection.send(f"{subject}: {message}" if isinstance(message, str) else message)
        finally:
            self.open.discard(connection)


@asynccontextmanager
async def echoing(*, port: int = 0, max_size: int | None = None) -> AsyncGenerator[Echo]:
    """Run the echo on this loop until the block ends."""
    echo = Echo()
    async with serve(
        echo.handle, "127.0.0.1", port, compression=None, max_size=max_size, ping_interval=None, close_timeout=1
    ) as server:
        echo.port = next(iter(server.sockets)).getsockname()[1]
        yield echo


class Upstream(Peer):
    """Be one end of a connection that the gateway opened, with nothing answered yet.

    Attributes:
        asked: the handshake that came.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Head) -> None:
        super().__init__(reader, writer, server=True)
        self.asked = asked

    def accept(self, *lines: str) -> None:
        """Say yes."""
        self.send(switching(self.asked.one("sec-websocket-key"), *lines))

    async def rest(self) -> bytes:
        """Return everything that comes until the gateway ends TCP."""
        whole = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while data := await self.reader.read(_TEXT_OF_MANY):
                    whole += data
        return whole


def switching(key: str, *lines: str) -> bytes:
    """Return the 101 to a key; a line with the name of a usual one stands in its place."""
    usual = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_key(key)}
    named = {line.partition(":")[0].lower() for line in lines}
    kept = [f"{name}: {value}" for name, value in usual.items() if name.lower() not in named]
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *kept, *lines, "", ""]).encode("latin-1")


Play = Callable[[Upstream], Awaitable[None]]


class Played:
    """Be an upstream that does with each connection what the test says, and keeps it open until the test ends.

    Attributes:
        port: of 127.0.0.1.
        heads: of all handshakes that came.
    """

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[Head] = []
        self._play: Play | None = None
        self._ends: asyncio.Queue[Upstream] = asyncio.Queue()
        self._open: set[asyncio.StreamWriter] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read the handshake, and play."""
        self._open.add(writer)
        try:
            head = Head.of(await reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        self.heads.append(head)
        upstream = Upstream(reader, writer, head)
        if self._play is None:
            upstream.accept()
        else:
            with suppress(ConnectionError):
                await self._play(upstream)
        self._ends.put_nowait(upstream)

    @contextmanager
    def doing(self, play: Play) -> Any:
        """Do this with every connection until the block ends, instead of saying yes."""
        self._play = play
        try:
            yield
        finally:
            self._play = None

    async def end(self) -> Upstream:
        """Return the end of the next connection that was opened."""
        async with asyncio.timeout(PATIENCE):
            return await self._ends.get()

    def forget(self) -> None:
        """Cut what is open, and forget what came."""
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()
        self.heads.clear()
        self._ends = asyncio.Queue()


@asynccontextmanager
async def playing(path: Path) -> AsyncGenerator[Played]:
    """Run the upstream on this loop until the block ends, on a port and on a unix socket at this path."""
    played = Played()
    servers = [
        await asyncio.start_server(played.handle, "127.0.0.1", 0),
        await asyncio.start_unix_server(played.handle, path),
    ]
    played.port = servers[0].sockets[0].getsockname()[1]
    try:
        yield played
    finally:
        played.forget()
        for server in servers:
            server.close()


@dataclass
class Site:
    """Be a gateway with its two upstreams.

    Attributes:
        serving: its process.
        echo: what is behind `ws://127.0.0.1:{echo}` in the configuration.
        played: what is behind `ws://127.0.0.1:{played}`.
    """

    serving: Serving
    echo: Echo
    played: Played
    _local: Local = field(repr=False)

    @property
    def port(self) -> int:
        """Return the public port."""
        return port_of(self.serving.http)

    @property
    def descriptors(self) -> int:
        """Return how many descriptors the process has open."""
        return len(list(Path(f"/proc/{self.serving.pid}/fd").iterdir()))

    @property
    def resident(self) -> int:
        """Return the bytes of memory that the process has."""
        text = Path(f"/proc/{self.serving.pid}/smaps_rollup").read_text("ascii")
        return int(re.findall(r"^Rss: +(\d+) kB", text, re.MULTILINE)[0]) * 1_024

    def token(self, subject: str = "alice", *, ttl: float = 3600, roles: Collection[str] = (), ago: float = 0) -> str:
        """Return a token of the server's own, issued so many seconds ago, with so many to live from then."""
        tokens = AccessTokens(self._local.signing, ISSUER, "wsauth", ttl, FakeClock(time.time() - ago))
        return secret(tokens.issue_by_hand(subject, ttl=ttl, roles=roles), f"a token of {subject}")

    def bearer(self, subject: str = "alice", **options: Any) -> str:
        """Return the header line that presents a token of theirs."""
        return f"Authorization: Bearer {self.token(subject, **options)}"

    def forged(self) -> str:
        """Return a token whose signature is another one's."""
        ours, other = self.token("alice"), self.token("mallory")
        return secret(f"{ours.rpartition('.')[0]}.{other.rpartition('.')[2]}", "a forged token")

    async def attempt(self, *lines: str, path: str = "/ws", without: Sequence[str] = ()) -> Answer:
        """Return the answer to a handshake with these lines."""
        async with wire(self.port, request(path, *lines, without=without)) as client:
            return await client.answer()

    @asynccontextmanager
    async def opened(self, *lines: str, path: str = "/ws") -> AsyncGenerator[Wire]:
        """Open a connection as Alice, or as whoever the lines say."""
        known = any(line.lower().startswith(("authorization", "sec-websocket-protocol: wsauth")) for line in lines)
        async with wire(self.port, request(path, *lines, *([] if known else [self.bearer()]))) as client:
            answer = await client.answer()
            assert answer.status == 101, (answer.status, answer.body)
            yield client

    @asynccontextmanager
    async def speaking(self, path: str = "/ws", subject: str = "alice", **options: Any) -> AsyncGenerator[Wire]:
        """Open a connection that speaks wsauth; `options` are those of `token`."""
        offer = f"{SPEAKS}, wsauth.bearer.{self.token(subject, **options)}"
        async with wire(self.port, request(path, offer)) as client:
            assert (await client.answer()).status == 101
            assert (await client.message("auth_success"))["subject"] == subject
            yield client

    @asynccontextmanager
    async def pending(self, path: str = "/ws", *lines: str) -> AsyncGenerator[Wire]:
        """Open a connection that waits for authentication."""
        async with wire(self.port, request(path, *lines)) as client:
            assert (await client.answer()).status == 101
            await client.message("auth_required")
            yield client

    @asynccontextmanager
    async def paired(self, way: str, path: str = "/played") -> AsyncGenerator[tuple[Wire, Upstream]]:
        """Open a connection as Alice, `plain` or `speaking`, and give both its ends."""
        opening = self.opened(path=path) if way == "plain" else self.speaking(path)
        async with opening as client:
            yield client, await self.played.end()

    @asynccontextmanager
    async def unharmed(self) -> AsyncGenerator[None]:
        """See that Bob's connection goes on and the process lives, and that nothing is left of what is done here."""
        self.played.forget()

        async def as_before() -> bool:
            return self.descriptors <= before

        async with self.opened(self.bearer("bob")) as bob:
            before = self.descriptors
            yield
            bob.send(frame("still here"))
            assert await bob.text() == "bob: still here"
            self.played.forget()
            assert await eventually(as_before, within=8), (self.descriptors, before)
        assert "Traceback" not in self.serving.output()

    async def told(self, reply: Answer | Frame | dict[str, Any], *parts: str) -> str:
        """See that the log has one line about a refusal, with these parts in it, and return it."""
        if isinstance(reply, Answer):
            name: str = json.loads(reply.body)["id"]
        elif isinstance(reply, Frame):
            name = re.findall(rb"id=(\w{12})", reply.payload)[0].decode()
        else:
            name = reply["id"]

        async def lines() -> list[str]:
            return [line for line in self.serving.output().splitlines() if f"id={name}" in line]

        found = await eventually(lines)
        assert len(found) == 1, found
        assert all(part in found[0] for part in parts), (found[0], parts)
        return found[0]

    async def refused(self, answer: Answer, status: int, code: str) -> str:
        """See that a handshake was refused like this and that the log has one line about it, which is returned."""
        assert (answer.status, answer.code) == (status, code), answer
        assert answer.header("content-type") == "application/problem+json"
        assert answer.header("cache-control") == "no-store"
        return await self.told(answer, code)

    async def serves_the_next(self) -> None:
        """See that the same process lets the next client in."""
        assert self.serving.alive
        async with self.opened(self.bearer("probe")) as client:
            client.send(frame("next"))
            assert await client.text(within=PATIENCE) == "probe: next"


@asynccontextmanager
async def gateway(
    folder: Path, config: str, *arguments: str, environ: dict[str, str] | None = None
) -> AsyncGenerator[Site]:
    """Run a gateway with its upstreams.

    Args:
        folder: where it runs.
        config: `{echo}` and `{played}` stand for the upstreams' ports, `{socket}` for the path of the latter's socket.
        arguments: of `wsauth serve`.
        environ: of the process.
    """
    path = folder / "played.sock"
    async with echoing() as echo, playing(path) as played:
        places = {"{echo}": str(echo.port), "{played}": str(played.port), "{socket}": str(path)}
        text = config
        for place, value in places.items():
            text = text.replace(place, value)
        async with serving(folder, *arguments, config=text, environ=environ) as process:
            backend = backend_of(load(folder / "wsauth.toml", {"WSAUTH__TOKENS__ISSUER": ISSUER}), follows=False)
            await backend.open()
            try:
                assert backend.local is not None
                site = Site(process, echo, played, backend.local)
                await site.serves_the_next()
                # What the first entries of the audit log open stays open, and is nobody's connection.
                await asyncio.sleep(1.0)
                yield site
            finally:
                await backend.aclose()


def auth(**members: Any) -> bytes:
    """Return an `auth` message as a frame."""
    return frame(json.dumps({"type": "auth", **members}))
