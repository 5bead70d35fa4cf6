"""One connection: what applications see of it, and the runner of its machine."""

import asyncio
from math import inf
from typing import TYPE_CHECKING, Literal

from wsauth.core.identity import NOBODY, Identity
from wsauth.core.permissions import Permissions
from wsauth.core.protocol import commands
from wsauth.core.protocol.commands import Command, Message, Verify
from wsauth.core.protocol.machine import Machine
from wsauth.core.protocol.states import State
from wsauth.errors import PermissionDenied, Refused
from wsauth.interfaces.transport import Transport

if TYPE_CHECKING:
    from wsauth.services.connections.connections import Connections

__all__ = ["Connection", "Ending"]

_NOTHING = Permissions(())

Ending = Literal["closed", "cut"]
"""How a connection ended: its close frame was handed to the kernel, or the transport was cut."""


class Connection:
    """Be one WebSocket connection under the guard.

    Attributes:
        id: a handle, 22 characters; it opens nothing.
    """

    __slots__ = (
        "_ended",
        "_origin",
        "_service",
        "_transport",
        "due_at",
        "id",
        "keys",
        "machine",
    )

    def __init__(self, service: "Connections", machine: Machine, transport: Transport) -> None:
        self.id = machine.about.connection_id
        self.machine = machine
        self.due_at = inf
        self.keys: tuple[object, ...] = ()
        self._service = service
        self._transport = transport
        self._origin = machine.handshake.origin
        self._ended: asyncio.Future[Ending] | None = None

    # What an application sees.

    @property
    def identity(self) -> Identity:
        """Return who it is; nobody before authentication and on anonymous routes."""
        lease = self.machine.lease
        return NOBODY if lease is None else lease.identity

    @property
    def permissions(self) -> Permissions:
        """Return what it may do, as of now."""
        lease = self.machine.lease
        return _NOTHING if lease is None else lease.permissions

    @property
    def expires_at(self) -> float | None:
        """Return when the lease ends, as of now, in seconds since the epoch; `None` for never."""
        lease = self.machine.lease
        return lease.ends_at if lease is not None and lease.ends else None

    @property
    def path(self) -> str:
        """Return the path it connected to, as sent."""
        return self.machine.about.path

    def allows(self, permission: str) -> bool:
        """Tell whether it may do this, as of now."""
        return self.permissions.allow(permission)

    def require(self, permission: str) -> None:
        """Go on only if it may do this, as of now.

        Raises:
            PermissionDenied: it may not; uncaught, the connection closes with 3003.
        """
        if not self.allows(permission):
            raise PermissionDenied(permission)

    async def refuse(self, code: str, detail: str = "") -> None:
        """Refuse the message that was received last and keep the connection open.

        Args:
            code: `message_invalid`, `permission_denied` or another code of the refusal table.
            detail: for the client's developer, such as `room: is required`.
        """
        error = Refused(code, detail or "refused by the application")
        self.perform(self.machine.refuse_message(error, detail, self._service.clock.now()))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection with a code of the application's own."""
        self.leave(code, reason)

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.identity} {self.machine.state.value}>"

    # What a host reports.

    def start(self) -> None:
        """Begin with the handshake."""
        self.perform(self.machine.start(self._service.clock.now()))

    async def judge(self, question: Verify) -> Identity | Refused:
        """Have credentials verified within the route's time. Next: `answer`."""
        about = self.machine.about
        try:
            async with asyncio.timeout(self.machine.policy.auth_timeout):
                return await self._service.authentication.verify(question.credentials, about.path, self._origin)
        except Refused as error:
            return error
        except TimeoutError:
            return Refused("unavailable", "the verification took too long", mend="auth_timeout", retry_after=1)

    def answer(self, question: Verify, outcome: Identity | Refused) -> None:
        """Register, look at the revocations, answer: one step without an await (ARCHITECTURE, invariant 2)."""
        if isinstance(outcome, Identity):
            self._service.index(self, outcome)
            outcome = self._service.check(outcome, question.credentials) or outcome
        self.perform(self.machine.answered(question.number, outcome, self._service.clock.now()))
        lease = self.machine.lease
        if self.machine.state is not State.CLOSED and (lease is None or lease.identity is not outcome):
            self._service.index(self, None if lease is None else lease.identity)

    def connected(self, subprotocol: str | None) -> None:
        """Take it that what is behind accepted."""
        self.perform(self.machine.connected(subprotocol, self._service.clock.now()))

    def received(self, message: Message) -> None:
        """Take one whole message of the client."""
        self.perform(self.machine.received(message, self._service.clock.now()))

    def stirred(self) -> None:
        """Note a message of the application's."""
        self.machine.stirred(self._service.clock.now())

    def leave(self, code: int, reason: str) -> None:
        """Take the application's own close."""
        self.perform(self.machine.leave(code, reason, self._service.clock.now()))

    def end(self, error: Refused, close: int | None = None) -> None:
        """Close because somebody decided so."""
        self.perform(self.machine.end(error, self._service.clock.now(), close))

    def gone(self, code: int, reason: str) -> None:
        """Take it that the transport is gone."""
        self.perform(self.machine.gone(code, reason, self._service.clock.now()))
        self.ended("cut")

    def wake(self, now: float) -> None:
        """Do what is due."""
        self.perform(self.machine.wake(now))

    def ended(self, how: Ending) -> None:
        """Take it that the close frame is with the kernel, or the transport cut; the first report counts."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(how)

    def ending(self) -> "asyncio.Future[Ending]":
        """Return a future of how the connection ends."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    def perform(self, ordered: list[Command]) -> None:
        """Carry out what the machine ordered."""
        question: Verify | None = None
        transport = self._transport
        for command in ordered:
            match command:
                case commands.Deliver(message):
                    transport.deliver(message)
                case commands.WakeAt(when):
                    self._service.deadlines.set(self, when)
                case Verify():
                    question = command
                case commands.Tell(event):
                    self._service.bus.publish(event)
                case commands.Accept(subprotocol):
                    if self.machine.state is State.CLOSING:
                        self._service.refusing.add(self)
                    transport.accept(subprotocol)
                case commands.Connect():
                    transport.connect()
                case commands.Send(text):
                    transport.send_control(text)
                case commands.Pause(side, paused):
                    transport.pause(side, paused)
                case commands.Refuse(refusal):
                    transport.refuse(refusal)
                case commands.Close(code, reason):
                    transport.close(code, reason)
                case commands.Abort():
                    transport.abort()
        if question is not None:
            self._begin(question)
        elif self.machine.state is State.CLOSED:
            self._service.remove(self)

    def _begin(self, question: Verify) -> None:
        known = self._service.authentication.recall(question.credentials)
        if known is None:
            self._transport.verify(question)
        else:
            self.answer(question, known)
