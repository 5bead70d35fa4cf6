"""One connection: what applications see of it, and the runner of its machine."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal

from wsauth.core import events, units
from wsauth.core.credentials import Credentials
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.permissions import Permissions
from wsauth.core.protocol import commands
from wsauth.core.protocol.commands import Command, Message, Verify
from wsauth.core.protocol.machine import Machine
from wsauth.core.protocol.states import State
from wsauth.core.refusals import TABLE
from wsauth.core.step_up import check_login
from wsauth.core.users import held_back
from wsauth.errors import ConfigurationError, PermissionDenied, Refused
from wsauth.interfaces.transport import Transport
from wsauth.services.authorizing import check_allowed
from wsauth.services.connections.deadlines import Deadline
from wsauth.services.connections.pacing import Pace
from wsauth.services.connections.rechecks import Recheck
from wsauth.services.throttling import SLOW

if TYPE_CHECKING:
    from wsauth.services.connections.connections import Connections

__all__ = ["Connection", "Ending"]

_NOTHING = Permissions(())

Ending = Literal["closed", "cut"]
"""How a connection ended: its close frame was handed to the kernel, or the transport was cut."""


class Connection:
    """Be one WebSocket connection under the guard.

    Attributes:
        id: a handle of 32 hexadecimal digits; it opens nothing.
        taken: the number of the message that the application has received last.
        numbers: of messages that rules have let pass and that an application of this process has not received yet;
            `None` where there is none.
        charged: its address was charged, and gets that back when it authenticates.
        recheck: the questions about the credentials that the lease stands on, where somebody is asked about them.
    """

    __slots__ = (
        "_ended",
        "_how",
        "_late",
        "_origin",
        "_service",
        "_transport",
        "charged",
        "deadline",
        "id",
        "indexed_as",
        "machine",
        "numbers",
        "recheck",
        "taken",
    )

    def __init__(self, service: "Connections", machine: Machine, transport: Transport) -> None:
        self.id = machine.about.connection_id
        self.machine = machine
        self.taken = 0
        self.numbers: deque[int] | None = None
        self.charged = False
        self.deadline: Deadline | None = None
        self.indexed_as: Identity | None = None
        self.recheck: Recheck | None = None
        self._service = service
        self._transport = transport
        self._origin = machine.handshake.origin
        self._ended: asyncio.Future[Ending] | None = None
        self._how: Ending | None = None
        self._late: Refused | None = None

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

    async def authorize(self, permission: str) -> None:
        """Go on only if the guard's authorizer says that it may do this, as of now; without one as `require`.

        Raises:
            PermissionDenied: it may not, or nobody says so.
        """
        await check_allowed(self._service.authorizer, self.identity, self.permissions, permission)

    def require_login(self, *, max_age: str | float | None = None, acr: Sequence[str] = ()) -> None:
        """Go on only if its person has logged in lately, or strongly enough, as of now.

        Args:
            max_age: how long ago at most: `"5m"`, or seconds.
            acr: the strengths of which one will do, as the issuer names them (OpenID Connect Core section 2).

        Raises:
            StepUpRequired: they have not. `connection.refuse` with its code and its `needed` tells the client, which
                authenticates again (`auth`) and sends again; uncaught, the connection closes.
        """
        age = None if max_age is None else units.seconds(max_age, "max_age")
        check_login(self.identity, self._service.clock.now(), max_age=age, acr=acr)

    async def refuse(self, code: str, detail: str = "") -> None:
        """Refuse the message that was received last and keep the connection open.

        Args:
            code: `message_invalid`, `permission_denied` or another code of the refusal table.
            detail: for the client's developer, such as `room: is required`.
        """
        if code not in TABLE:
            raise ConfigurationError(f"refuse: {code!r} is no code of the refusal table; its codes are on the wire")
        error = Refused(code, detail or "refused by the application")
        self.perform(self.machine.refuse_message(error, self.taken, detail, self._service.clock.now()))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection with a code of the application's own."""
        self.leave(code, reason)

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.identity} {self.machine.state.value}>"

    def number(self) -> None:
        """Keep the numbers of messages: an application of this process receives them, where rules refuse some."""
        if self.machine.policy.rules is not None:
            self.numbers = deque()

    def took(self) -> None:
        """Note that the application has received the next message."""
        self.taken = self.numbers.popleft() if self.numbers else self.taken + 1

    def _deliver(self, deliver: commands.Deliver) -> None:
        if deliver.number and self.numbers is not None:
            self.numbers.append(deliver.number)
        self._transport.deliver(deliver.message)

    # What a host reports.

    def start(self) -> None:
        """Begin with the handshake."""
        machine, service = self.machine, self._service
        if machine.handshake.refused is None:
            machine.handshake.refused = service.closed_to_new() or self._kept_out()
        credentials = machine.handshake.credentials
        known: Identity | Refused | None = None
        if credentials is not None and machine.handshake.refused is None:
            known = self._judged(credentials)
            if isinstance(known, Identity):
                known = self._admit(known, credentials)
            elif known is not None:
                known = service.throttling.failed(machine.about.address, credentials, known)
                if known.code == "rate_limited":
                    self._late, known = known, None
        if known is None:
            self._arrive()
        self.perform(machine.start(service.clock.now(), known))
        if isinstance(known, Identity):
            self._index_lease()

    def _kept_out(self) -> Refused | None:
        """Return why whoever is at this address is not even looked at, or `None`."""
        credentials = self.machine.handshake.credentials
        known = credentials is not None and credentials.kind != "password"
        return self._service.throttling.kept_out(self.machine.about.address, known=known)

    def _arrive(self) -> None:
        """Take it that nobody knows yet who this is: there are limits on that."""
        service, machine = self._service, self.machine
        address = machine.about.address
        limited = service.throttling.arrived(address, machine.handshake.headers)
        if limited is not None:
            machine.handshake.refused = limited
        elif machine.handshake.refused is None:
            self.charged = True
            # Whoever has brought something is being looked at, which ends by itself; a stranger may stay silent.
            if machine.handshake.credentials is None and not machine.policy.anonymous:
                key = service.throttling.key(address)
                service.waiting.add(self, key, capped=bool(key))

    def shed(self) -> None:
        """Close, since too many have not authenticated yet."""
        why = f"too many connections of {self.machine.about.address or 'one peer'} have not authenticated yet"
        mend = "limits.unauthenticated_per_address, limits.unauthenticated_connections"
        self.end(Refused("too_many_connections", why, mend=mend, retry_after=1))

    async def judge(self, question: Verify) -> Identity | Refused:
        """Have credentials verified within the route's time. Next: `answer`."""
        if self._late is not None:
            late, self._late = self._late, None
            await asyncio.sleep(SLOW)
            return late
        path, timeout = self.machine.about.path, self.machine.policy.auth_timeout
        address = self.machine.about.address
        throttling = self._service.throttling
        if question.credentials.kind == "password" and (
            limited := throttling.exhausted(address) or throttling.kept_out(address)
        ):
            return limited
        question.credentials.address = address
        question.credentials.device = self.machine.handshake.device
        question.credentials.lasting = True
        begun = perf_counter()
        try:
            async with asyncio.timeout(timeout):
                return await self._service.authentication.verify(question.credentials, path, self._origin)
        except Refused as error:
            return error.as_value()
        except TimeoutError:
            return Refused("unavailable", "the verification took too long", mend="auth_timeout", retry_after=1)
        finally:
            self._measured(question.credentials, begun)

    def _judged(self, credentials: Credentials) -> Identity | Refused | None:
        """Return what is known of credentials at once; `None` where somebody has to be waited for."""
        begun = perf_counter()
        known = self._service.authentication.judge(credentials)
        if known is not None:
            self._measured(credentials, begun)
        return known

    def _measured(self, credentials: Credentials, begun: float) -> None:
        seconds, service = perf_counter() - begun, self._service
        service.bus.publish(events.Verified(at=service.clock.now(), seconds=seconds, kind=credentials.kind))

    def answer(self, question: Verify, outcome: Identity | Refused) -> None:
        """Register, look at the revocations, answer: one step without an await (ARCHITECTURE, invariant 2)."""
        service, before = self._service, self.identity
        found = outcome if isinstance(outcome, Identity) else None
        if not isinstance(outcome, Identity):
            address = self.machine.about.address
            outcome = service.throttling.failed(address, question.credentials, outcome)
            service.throttling.warn_of_proxy(outcome.mend, address, self.machine.handshake.headers)
        if self.machine.state is not State.CLOSED:
            if found is not None:
                outcome = self._admit(found, question.credentials)
            self.perform(self.machine.answered(question.number, outcome, service.clock.now()))
            if found is not None and outcome is self.identity:
                self._stand_on(question.credentials)
            self._index_lease()
        if service.on_stray is not None:
            for identity in (before, found):
                if identity is not None and identity.session_id != self.identity.session_id:
                    service.on_stray(identity)

    def _admit(self, identity: Identity, credentials: Credentials) -> Identity | Refused:
        service = self._service
        service.index(self, identity)
        crowded = service.crowded(identity) if self.machine.lease is None else None
        return crowded or held_back(identity) or service.admit(identity, credentials)

    def _stand_on(self, credentials: Credentials) -> None:
        """Ask again about the credentials that the lease comes from now, where somebody was asked about them."""
        if self.recheck is not None:
            self.recheck.stop()
        self.recheck = Recheck(self, credentials, self._service) if credentials.rechecking is not None else None

    def rechecked(self, identity: Identity) -> None:
        """Take what is known anew of whoever holds the lease."""
        if identity.key != self.identity.key:
            self.end(Refused("token_revoked", f"it is {identity}'s now, and was {self.identity}'s"))
            return
        self.perform(self.machine.rechecked(identity, self._service.clock.now()))
        self._index_lease()

    def _index_lease(self) -> None:
        """Be found as whose the lease is, which is not always whose the last credential was."""
        lease, service = self.machine.lease, self._service
        identity = None if lease is None else lease.identity
        if self.machine.state is not State.CLOSED:
            if identity is not self.indexed_as:
                service.index(self, identity)
            if lease is not None and self.charged and lease.identity.is_authenticated:
                self.charged = False
                service.waiting.discard(self)
                service.throttling.authenticated(self.machine.about.address)
            if service.on_lease is not None and lease is not None:
                service.on_lease(self)
            if self.recheck is not None and lease is not None:
                self.recheck.plan(lease)

    def pace(self, go_on: Callable[[], None]) -> Pace | None:
        """Return what says when the client's messages may be read, or `None` where they always may.

        Args:
            go_on: called when they may again.
        """
        rate = self._service.throttling.allowances.messages
        return None if rate is None else Pace(rate, go_on)

    def connected(self, subprotocol: str | None) -> None:
        """Take it that what is behind accepted."""
        self.perform(self.machine.connected(subprotocol, self._service.clock.now()))

    def received(self, message: Message) -> None:
        """Take one whole message of the client."""
        self.perform(self.machine.received(message, self._service.clock.now()))

    def oversized(self) -> None:
        """Take it that the client's message is longer than it may be; it need not be there in whole."""
        self.perform(self.machine.oversized(self._service.clock.now()))

    def stirred(self) -> None:
        """Note a message of the application's."""
        self.machine.stirred(self._service.clock.now())

    def leave(self, code: int, reason: str) -> None:
        """Take the application's own close."""
        self.perform(self.machine.leave(code, reason, self._service.clock.now()))

    def extended(self, ends_at: float) -> None:
        """Take it that the lease lives on, because of what happened elsewhere."""
        self.perform(self.machine.extended(ends_at, self._service.clock.now()))
        self._index_lease()

    def rights_changed(self, identity: Identity) -> None:
        """Take it that an administrator changed what the identity may do."""
        self.perform(self.machine.rights_changed(identity, self._service.clock.now()))
        self._index_lease()

    def end(self, error: Refused, close: int | None = None) -> None:
        """Close because somebody decided so."""
        self.perform(self.machine.end(error, self._service.clock.now(), close))

    def gone(self, code: int, reason: str) -> None:
        """Take it that the transport is gone; again is harmless."""
        if self.machine.state is State.CLOSED:
            self._transport = _GONE
            return
        self.perform(self.machine.gone(code, reason, self._service.clock.now()))
        self.ended("cut")
        self._transport = _GONE

    def bytes_received(self) -> int | None:
        """Return how many bytes the client has sent, frames, handshake and all; `None` where nobody knows."""
        return self._transport.bytes_received()

    def wake(self, now: float) -> None:
        """Do what is due."""
        self.perform(self.machine.wake(now))

    def ended(self, how: Ending) -> None:
        """Take it that the close frame is with the kernel, or the transport cut; the first report counts."""
        self._how = self._how or how
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(self._how)

    def ending(self) -> "asyncio.Future[Ending]":
        """Return a future of how the connection ends."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
            if self._how is not None:
                self._ended.set_result(self._how)
        return self._ended

    def perform(self, ordered: list[Command]) -> None:
        """Carry out what the machine ordered.

        Its question comes last, since the answer may be known at once, and so does connecting, which may fail at once.
        """
        question, connects = None, False
        for command in ordered:
            if type(command) is Verify:
                question = command
            elif type(command) is commands.Connect:
                connects = True
            else:
                _CARRY_OUT[type(command)](self, command)
        if self.machine.state is State.CLOSED:
            self._service.remove(self)
        elif connects:
            self._transport.connect()
        elif question is not None:
            self._ask(question)

    def _ask(self, question: Verify) -> None:
        known = None
        if self.machine.state is not State.HANDSHAKING:
            known = self._judged(question.credentials)
        if known is None:
            self._transport.verify(question)
        else:
            self.answer(question, known)

    def _wake_at(self, command: commands.WakeAt) -> None:
        if self.machine.state is not State.CLOSED:
            self._service.deadlines.set(self, command.when)

    def _accept(self, command: commands.Accept) -> None:
        if self.machine.state is State.CLOSING:
            self._service.refusing.add(self)
        self._transport.accept(command.subprotocol)


class _Gone:
    """Be the transport of a connection that has none any more; it also frees the host without a collection."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


_GONE: Final[Any] = _Gone()

_CARRY_OUT: Final[dict[type[Command], Callable[[Connection, Any], None]]] = {
    commands.Abort: lambda connection, _: connection._transport.abort(),
    commands.Accept: Connection._accept,
    commands.Close: lambda connection, close: connection._transport.close(
        close.code, close.reason, at_once=close.at_once
    ),
    commands.Deliver: lambda connection, deliver: connection._deliver(deliver),
    commands.Pause: lambda connection, pause: connection._transport.pause(pause.side, pause.paused),
    commands.Refuse: lambda connection, refuse: connection._transport.refuse(refuse.refusal),
    commands.Send: lambda connection, send: connection._transport.send_control(send.text),
    commands.Tell: lambda connection, tell: connection._service.bus.publish(tell.event),
    commands.WakeAt: Connection._wake_at,
}
