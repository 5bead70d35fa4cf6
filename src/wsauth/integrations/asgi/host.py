"""One WebSocket under ASGI: the host of its machine.

After the handshake there are two ways for messages. **Direct**: the application reads from and writes to the server,
with one look at the lease in between; so it is on uvicorn for clients that do not speak wsauth. **Pumped**: a task
reads, the machine looks at every message, and the application takes from a short queue; so it is for clients that
speak wsauth, whose renewals must be read even while the application is not reading, and on servers that do not wake
a pending `receive()`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from math import inf
from typing import Any, Literal

import msgspec

from wsauth.core.protocol.commands import Message, Verify
from wsauth.core.protocol.control import is_reserved
from wsauth.core.protocol.states import State
from wsauth.core.protocol.wire import SUBPROTOCOL
from wsauth.core.refusals import Refusal, denial
from wsauth.errors import ConnectionClosed, PermissionDenied, Refused
from wsauth.integrations.asgi.servers import Server, sender_of
from wsauth.integrations.asgi.types import App, AsgiMessage, Receive, Scope, Send
from wsauth.integrations.asgi.user import User
from wsauth.services.connections.connection import Connection
from wsauth.services.connections.pacing import Pace

__all__ = ["Host"]

_log = logging.getLogger("wsauth")

_QUEUE_LIMIT = 8
"""Messages that wait for an application which does not read; then we stop reading."""
_CUT_AFTER = 0.5
"""Seconds after which a close frame that cannot be written is given up and TCP is cut."""
_DRAIN_TIMEOUT = 2.0
"""Seconds to wait for the peer's close, where the server ends TCP as soon as the application returns."""


class Host:
    """Carry one connection between an ASGI server and an ASGI application.

    Args:
        scope: as the server gave it.
        receive: the server's.
        send: the server's.
        server: what it does differently.
    """

    __slots__ = (
        "_accepted",
        "_asked",
        "_closing",
        "_direct",
        "_flushing",
        "_greeted",
        "_inbox",
        "_inline",
        "_limit",
        "_moved",
        "_outbox",
        "_pace",
        "_paused",
        "_pump",
        "_question",
        "_receive",
        "_scope",
        "_send",
        "_server",
        "_tasks",
        "connection",
    )

    connection: Connection

    def __init__(self, scope: Scope, receive: Receive, send: Send, server: Server) -> None:
        self._scope = scope
        self._receive = receive
        self._send = sender_of(send)
        self._server = server
        self._inbox: list[AsgiMessage] = []
        self._outbox: list[AsgiMessage] = []
        self._question: Verify | None = None
        self._asked: AsgiMessage | None = None
        self._closing: AsgiMessage | None = None
        self._accepted = False
        self._direct = False
        self._inline = False
        self._limit = 0
        self._flushing = False
        self._greeted = False
        self._paused = False
        self._pace: Pace | None = None
        self._moved: asyncio.Event | None = None
        self._pump: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] | None = None

    async def run(self, app: App) -> None:
        """Live the connection's life; returns when the server may end TCP."""
        machine = self.connection.machine
        if not self._server.wakes:
            await self._receive()  # granian's worker aborts where the connect is asked for after a denial
        try:
            self._inline = True
            self.connection.start()
            self._inline = False
            if self._outbox or self._question is not None:
                await self._settle()
            if machine.state is State.PENDING:
                self._start_pump()
                while machine.state is State.PENDING:
                    await self._wait()
            if machine.state is State.CONNECTING:
                await self._begin()
                try:
                    await app(self._application_scope(), self.receive, self.send)
                except ConnectionClosed:
                    pass
                except Exception as error:
                    if not await self._explained(error):
                        raise
                else:
                    await self._returned()
            if self._outbox or machine.state is not State.CLOSED:
                await self._settle()
            if machine.state is State.CLOSING and not self._server.wakes:
                await self._drain()
        finally:
            self._stop()

    async def _begin(self) -> None:
        if self.connection.machine.accepted:
            self._inline = True
            self.connection.connected(None)
            await self._settle()
        elif not self._server.wakes:
            self._start_pump()

    async def _explained(self, error: Exception) -> bool:
        """Close for an application that raised; tell whether its error is none for the server's log."""
        machine = self.connection.machine
        if isinstance(error, PermissionDenied):
            self._inline = True
            self.connection.end(error)
            return True
        if machine.state in (State.CLOSING, State.CLOSED) and type(error).__name__ == "WebSocketDisconnect":
            return True  # an application that does not catch what Starlette tells it of our close
        if machine.accepted and not self._accepted:
            self._inline = True
            self.connection.end(Refused("unavailable", "the application failed before it accepted"), 1011)
            await self._settle()
        elif machine.accepted:
            await self._leave(1011)
        return False

    async def _returned(self) -> None:
        machine = self.connection.machine
        if machine.state is State.CONNECTING and not self._server.denies:
            await self._deny({})
        elif machine.accepted and machine.state is not State.CLOSED:
            await self._leave(1000)

    async def _leave(self, code: int) -> None:
        """Close for an application that is done: no server does it well on its own."""
        self._inline = True
        self.connection.leave(code, "")
        await self._settle()

    def _application_scope(self) -> Scope:
        """Return the scope without credentials; the server's own, so that it logs none either."""
        scope, handshake = self._scope, self.connection.machine.handshake
        scope["headers"] = handshake.headers
        scope["query_string"] = handshake.query
        scope["subprotocols"] = handshake.offered
        scope["wsauth"] = self.connection
        scope["user"] = scope["auth"] = User(self.connection)
        return scope

    # What the application gets.

    def send(self, message: AsgiMessage) -> Awaitable[None]:
        """Be the application's `send`."""
        if self._direct and message["type"] == "websocket.send":
            return self._send(message)
        return self._send_carefully(message)

    async def receive(self) -> AsgiMessage:
        """Be the application's `receive`."""
        if self._direct:
            message = await self._receive()
            if self._direct and message["type"] == "websocket.receive":
                text = message.get("text")
                # UTF-8 takes at most four bytes a character: what is near the limit is looked at with care.
                if (len(message["bytes"]) if text is None else len(text) * 4) <= self._limit:
                    return message
            await self._received(message)
        elif not self._greeted:
            self._greeted = True
            return await self._receive() if self._pump is None else {"type": "websocket.connect"}
        elif self._pump is None:
            while not self._inbox and self._closing is None:
                if self._holds():
                    await self._wait()
                else:
                    await self._received(await self._receive())
        while not self._inbox:
            if self._closing is not None:
                return self._closing
            await self._wait()
        message = self._inbox.pop(0)
        self.connection.took()
        if self._pump is not None:
            self._move()
        return message

    async def _send_carefully(self, message: AsgiMessage) -> None:
        machine = self.connection.machine
        kind = message["type"]
        if kind == "websocket.send":
            while machine.state is State.STALE:
                await self._wait()
            if not machine.passing:
                raise ConnectionClosed("wsauth has closed this WebSocket")
            text = message.get("text")
            if machine.speaks and text and is_reserved(text):
                _log.warning("a message of the application at %s looked like one of wsauth's", machine.about.path)
                return
            self.connection.stirred()
            await self._send(message)
        elif machine.accepted and not self._accepted:
            await self._translate(message)
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close" and machine.accepted:
            self._inline = True
            self.connection.leave(message.get("code") or 1000, message.get("reason") or "")
            await self._settle()
        elif machine.state is State.CONNECTING:
            await self._deny(message)
        elif machine.state in (State.CLOSING, State.CLOSED) and kind != "websocket.close":
            raise ConnectionClosed("wsauth has closed this WebSocket")

    async def _accept(self, message: AsgiMessage) -> None:
        if self.connection.machine.state is not State.CONNECTING:
            raise ConnectionClosed("wsauth has refused this WebSocket")
        self._asked = message
        self._accepted = True
        self._inline = True
        self.connection.connected(message.get("subprotocol"))
        self._inline = False
        self._flushing = True
        await self._write()
        machine = self.connection.machine
        if machine.speaks and self._pump is None and machine.state is State.OPEN:
            self._start_pump()

    async def _deny(self, message: AsgiMessage) -> None:
        """Pass the application's own no on; a server that knows only one no gets that one, and only once."""
        if self._server.denies:
            await self._send(message)
        elif self._closing is None:
            self._closing = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
            await self._send({"type": "websocket.close", "code": 1008})

    async def _translate(self, message: AsgiMessage) -> None:
        """Turn what an application says before its accept into what can be said after ours (in-band)."""
        kind = message["type"]
        if kind == "websocket.accept":
            self._accepted = True
            return
        if kind == "websocket.close":
            error, close = Refused("permission_denied", "the application closed before it accepted"), None
        elif kind == "websocket.http.response.start":
            error, close = denial(message["status"])
        else:
            return
        self._inline = True
        self.connection.end(error, close)
        await self._settle()

    # What the machine orders.

    def accept(self, subprotocol: str) -> None:
        """Answer the handshake with 101."""
        message: AsgiMessage = {"type": "websocket.accept", "subprotocol": subprotocol or None}
        if self._asked is not None and "headers" in self._asked:
            message["headers"] = self._asked["headers"]
        machine = self.connection.machine
        self._limit = machine.policy.max_message
        self._direct = (
            self._server.wakes
            and machine.state is State.OPEN
            and not machine.speaks
            and machine.policy.rules is None
            and machine.policy.idle_timeout == inf
            and self._pace is None
        )
        self._put(message)

    def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with an HTTP refusal, or with what the server has instead."""
        self._closing = {"type": "websocket.disconnect", "code": 1006, "reason": refusal.code}
        handshake = self.connection.machine.handshake
        if self._server.denies:
            headers = refusal.headers()
            body = msgspec.json.encode(refusal.problem())
            headers.append((b"content-length", str(len(body)).encode()))
            self._put({"type": "websocket.http.response.start", "status": refusal.http_status, "headers": headers})
            self._put({"type": "websocket.http.response.body", "body": body})
        elif refusal.rule.close is not None and (handshake.browser or not handshake.origin):
            self._put({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if handshake.speaks else None})
            self._put({"type": "websocket.close", "code": refusal.close_code, "reason": refusal.close_reason})
        else:
            self._put({"type": "websocket.close", "code": 1008})
        self._move()

    def verify(self, question: Verify) -> None:
        """Verify in the handshake's own time, later in a task, so that messages go on."""
        if self.connection.machine.state is State.HANDSHAKING:
            self._question = question
        else:
            self._spawn(self._verify(question))

    def connect(self) -> None:
        """Let `run` go on to the application."""
        self._pace = self.connection.pace(self._move)
        self.connection.number()
        self._move()

    def send_control(self, text: str) -> None:
        """Send a control message."""
        self._put({"type": "websocket.send", "text": text})

    def deliver(self, message: Message) -> None:
        """Pass a client's message on to the application."""
        name = "text" if isinstance(message, str) else "bytes"
        self._inbox.append({"type": "websocket.receive", name: message})
        self._move()

    def pause(self, side: Literal["client", "upstream"], paused: bool) -> None:
        """Stop reading the client; the application's side is held in `send`."""
        self._direct = False
        if side == "client":
            self._paused = paused
        self._move()

    def close(self, code: int, reason: str, *, at_once: bool = False) -> None:
        """Send a close frame and tell the application; what it has not yet taken is dropped, and messages are whole."""
        self._direct = False
        self._closing = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._inbox.clear()
        if self._flushing or not self._server.flushed:
            asyncio.get_running_loop().call_later(_CUT_AFTER, self._cut_if_stuck)
        self._put({"type": "websocket.close", "code": code, "reason": reason})
        self._move()

    def abort(self) -> None:
        """Cut TCP where the server lets us, and be done with the connection."""
        self._server.abort()
        self.connection.gone(1006, "")
        self._move()

    def bytes_received(self) -> int | None:
        """Return how many bytes the client has sent, where the server lets us know."""
        return self._server.bytes_received()

    # Reading, writing, waiting.

    async def _received(self, message: AsgiMessage) -> None:
        if message["type"] == "websocket.receive":
            if self._pace is not None:
                self._pace.count(1)
            text = message.get("text")
            self._inline = True
            self.connection.received(message["bytes"] if text is None else text)
            await self._settle()
            return
        if message["type"] != "websocket.disconnect":
            return
        if self._closing is None:
            self._closing = message
        if self.connection.machine.state is not State.CLOSING or self._server.ended:
            self._direct = False
            self.connection.gone(message.get("code") or 1005, message.get("reason") or "")
        self._move()

    def _start_pump(self) -> None:
        self._pump = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        """Read for the application; a few messages ahead of it, and none while the machine says so."""
        try:
            while self._closing is None:
                while self._closing is None and (len(self._inbox) >= _QUEUE_LIMIT or self._holds()):
                    await self._wait()
                await self._received(await self._receive())
        except Exception:  # noqa: BLE001  whatever it was, the application must not wait for ever
            _log.exception("reading a WebSocket at %s failed", self.connection.path)
            self.connection.end(Refused("unavailable", "reading failed"), 1011)

    def _holds(self) -> bool:
        """Tell whether the client is not read now; `_move` comes when it may be again."""
        if self._paused or self._pace is None or self._pace.left():
            return self._paused
        self._pace.wait()
        return True

    def _put(self, message: AsgiMessage) -> None:
        self._outbox.append(message)
        if not self._inline and not self._flushing:
            self._flushing = True
            self._spawn(self._write())

    async def _settle(self) -> None:
        """Write what is to be written, and find out what is to be found out."""
        self._inline = False
        while True:
            if self._outbox and not self._flushing:
                self._flushing = True
                await self._write()
            while self._flushing:
                await self._wait()
            question, self._question = self._question, None
            if question is None:
                return
            await self._verify(question)

    async def _verify(self, question: Verify) -> None:
        outcome = await self.connection.judge(question)
        self._inline = True
        self.connection.answer(question, outcome)
        self._inline = False
        if self._outbox and not self._flushing:
            self._flushing = True
            await self._write()

    async def _write(self) -> None:
        try:
            while self._outbox:
                message = self._outbox.pop(0)
                if message["type"] == "websocket.close":
                    await self._stop_pump()
                await self._send(message)
                if message["type"] == "websocket.http.response.body":
                    self._server.denied()
        except OSError:
            self._outbox.clear()
            self.connection.gone(1006, "")
        finally:
            self._flushing = False
            self._move()
        if self._closing is not None and self._server.flushed:
            self.connection.ended("closed")

    async def _stop_pump(self) -> None:
        """End the pending read: on granian a close would wait for it."""
        pump = self._pump
        if pump is not None and pump is not asyncio.current_task() and not pump.done():
            pump.cancel()
            await asyncio.wait({pump})

    async def _drain(self) -> None:
        """Read on until the peer has closed, so that unread bytes do not reset TCP before it saw our close."""
        try:
            async with asyncio.timeout(_DRAIN_TIMEOUT):
                while (await self._receive())["type"] != "websocket.disconnect":
                    pass
        except (TimeoutError, OSError, RuntimeError):
            return

    def _cut_if_stuck(self) -> None:
        if self._outbox or not self._server.flushed:
            self._outbox.clear()
            if self._server.abort():
                self.connection.ended("cut")

    def _stop(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        if self._pace is not None:
            self._pace.stop()
            self._pace = None
        lingers = self.connection.machine.state is State.CLOSING and self._server.wakes
        if not lingers or self._server.ended:
            self.connection.gone(1006, "")

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait(self) -> None:
        """Wait until anything has moved."""
        if self._moved is None:
            self._moved = asyncio.Event()
        await self._moved.wait()

    def _move(self) -> None:
        if self._moved is not None:
            self._moved.set()
            self._moved.clear()
