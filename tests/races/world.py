"""Processes without sockets: guards over one real store, a clock that the test moves, and faces for transports."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from wsauth.core.handshake import Header, read
from wsauth.core.protocol.commands import Message, Verify
from wsauth.core.protocol.states import State
from wsauth.core.refusals import Refusal
from wsauth.core.sessions import Limits, Session
from wsauth.guard import Guard, Route
from wsauth.guard.backend import Backend
from wsauth.guard.local import Local, LocalKeys
from wsauth.services.connections.connection import Connection
from wsauth.testing import FakeClock

__all__ = ["ISSUER", "LIMITS", "PAGE", "PASSWORD", "Face", "Process", "eventually", "process"]

ISSUER = "http://wsauth.test"
PAGE = "https://app.example.com"
PASSWORD = "correct horse battery staple"
LIMITS = Limits(access=300.0, idle=7 * 86_400.0, absolute=30 * 86_400.0, grace=20.0)
ROLES = {"member": ["chat:*:read"], "owner": ["chat:**"]}


class Face:
    """Be the transport of a connection, and its client: it notes what comes, and answers when the test lets it.

    Attributes:
        said: control messages to the client, in order.
        delivered: what was passed on to the application.
        closed: code and reason of the close frame.
        refused: the HTTP refusal.
        verdicts: set when verdicts may be reported.
        accepting: set when the application may accept.
    """

    connection: Connection

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.delivered: list[Message] = []
        self.closed: tuple[int, str] | None = None
        self.refused: Refusal | None = None
        self.aborted = False
        self.verdicts = asyncio.Event()
        self.accepting = asyncio.Event()
        self.judged = asyncio.Event()
        self.verdicts.set()
        self.accepting.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, subprotocol: str) -> None:
        """Take the 101."""

    def refuse(self, refusal: Refusal) -> None:
        """Take the HTTP refusal."""
        self.refused = refusal
        self._soon(lambda: self.connection.gone(1006, ""))

    def verify(self, question: Verify) -> None:
        """Ask, and report when the test lets it."""
        self._spawn(self._judge(question))

    def connect(self) -> None:
        """Have the application accept when the test lets it."""
        self._spawn(self._accept())

    def send_control(self, text: str) -> None:
        """Note a control message."""
        self.said.append(json.loads(text))

    def deliver(self, message: Message) -> None:
        """Note what the application gets."""
        self.delivered.append(message)

    def pause(self, side: Literal["client", "upstream"], paused: bool) -> None:
        """Do nothing: there is no traffic of its own."""

    def close(self, code: int, reason: str, *, at_once: bool = False) -> None:
        """Take the close frame."""
        self.closed = (code, reason)
        self.connection.ended("closed")
        self._soon(lambda: self.connection.gone(code, reason))

    def bytes_received(self) -> int | None:
        """Be on no socket."""
        return None

    def abort(self) -> None:
        """Be cut."""
        self.aborted = True
        self.connection.ended("cut")
        self._soon(lambda: self.connection.gone(1006, ""))

    @property
    def code(self) -> str:
        """Return the code of the refusal or of the close reason; empty while it lives."""
        if self.refused is not None:
            return self.refused.code
        return "" if self.closed is None else self.closed[1].split(";")[0]

    @property
    def open(self) -> bool:
        """Tell whether messages pass."""
        return self.connection.machine.state is State.OPEN

    def say(self, **message: Any) -> None:
        """Send a message to the server."""
        self.connection.received(json.dumps(message))

    async def settled(self) -> None:
        """Wait until it is open, stale or over."""
        states = (State.OPEN, State.STALE, State.CLOSED)
        await eventually(lambda: self.connection.machine.state in states)

    async def _judge(self, question: Verify) -> None:
        outcome = await self.connection.judge(question)
        self.judged.set()
        await self.verdicts.wait()
        self.connection.answer(question, outcome)

    async def _accept(self) -> None:
        await self.accepting.wait()
        self.connection.connected(None)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _soon(self, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(call)


class Process:
    """Be one process: a guard with our own users over a store.

    Attributes:
        guard: the guard.
        local: our own users.
    """

    def __init__(self, guard: Guard, local: Local) -> None:
        self.guard = guard
        self.local = local

    def begin(
        self, *headers: Header, speaks: bool = True, path: str = "/ws", query: str = "", face: Face | None = None
    ) -> Face:
        """Begin a handshake with these headers."""
        guard, face = self.guard, face or Face()
        offers = ["wsauth.v1"] if speaks else []
        every = [(b"host", b"wsauth.test"), *headers]
        rules = guard.routes.find(path)
        handshake = read(every, query.encode(), offers, rules, private=True, cookies=guard.cookies)
        face.connection = guard.connections.open(handshake, face, path, "192.0.2.1", True)
        face.connection.start()
        return face

    def bearer(self, token: str, **asked: Any) -> Face:
        """Begin a handshake with a token."""
        return self.begin((b"authorization", f"Bearer {token}".encode()), **asked)

    def cookie(self, session: Session, **asked: Any) -> Face:
        """Begin a handshake with a session's cookie."""
        value = f"{self.local.verifier.cookie}={self.local.sessions.cookie(session)}"
        return self.begin((b"origin", PAGE.encode()), (b"cookie", value.encode()), **asked)

    async def connected(self, face: Face) -> Face:
        """Wait until it is open, and return it."""
        await face.settled()
        assert face.open, face.code
        return face

    async def login(self, username: str = "alice", kind: Any = "tokens", password: str = PASSWORD) -> Any:
        """Log somebody in."""
        return await self.local.sessions.login(username, password, kind)

    def access(self, known: Any) -> str:
        """Return an access token of a session."""
        until = self.local.limits.ends_at(known.session)
        return self.local.tokens.issue(known.user, known.session, until)[0]

    def stop_hearing(self) -> None:
        """Stop reading the feed, as a process does that is suspended or cut off."""
        self.guard.backend.reader.stop()


@asynccontextmanager
async def process(
    folder: Path,
    clock: FakeClock,
    *,
    limits: Limits = LIMITS,
    routes: Sequence[Route] = (),
    on_feed_loss: Literal["refuse", "close"] = "refuse",
    key_file: str = "wsauth.key",
    starts: bool = True,
    **keys: Any,
) -> AsyncGenerator[Process]:
    """Run a process over the store in a folder."""
    backend = Backend(f"sqlite:///{folder}/wsauth.db", folder / key_file, clock, on_feed_loss=on_feed_loss)
    local = backend.serve_users(LocalKeys(issuer=ISSUER), limits)
    guard = Guard(
        verifiers=[],
        origins=[PAGE],
        routes=routes,
        roles=ROLES,
        store=backend,
        access_ttl=limits.access,
        sources=["header", "cookie", "ticket", "subprotocol", "message", "basic"],
        **keys,
    )
    if not starts:
        yield Process(guard, local)
        await local.aclose()
        return
    async with guard:
        yield Process(guard, local)


async def eventually(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  what a thread does sets no event of this loop
            await asyncio.sleep(0.005)
