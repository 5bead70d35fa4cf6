"""The machine behind every connection: events and `now` go in, commands come out.

A host (the ASGI middleware, the gateway) makes one `Machine` for each handshake, calls `start`, and from then on
reports what happens and carries out what it is told, in order. Each method returns the commands; after most of them
comes a `WakeAt`, which a host answers with `wake`. The machine reads no clock and draws no numbers.

What it keeps true is listed in `docs/topics/machine.md`.
"""

from math import inf
from typing import Final

import msgspec

from wsauth.core import events
from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.core.lease import warn_at
from wsauth.core.protocol import commands, control, wire
from wsauth.core.protocol.commands import Command, Message
from wsauth.core.protocol.held import Held, size
from wsauth.core.protocol.leasing import Leasing
from wsauth.core.protocol.presented import accepts, read_first, read_renewal
from wsauth.core.protocol.states import ConnectionEvent, LeaseEvent, State
from wsauth.core.refusals import Refusal
from wsauth.core.rules.rules import MessageRefused, Rules, is_in_rate
from wsauth.errors import Refused

__all__ = ["Machine"]

_REFUSED: Final = "\n"
"""What refused messages are counted as; no type is named so."""


class Machine(Leasing):
    """Decide everything about one connection.

    Args:
        about: which connection it is.
        handshake: what it asked for.
        roles: turn an identity's roles into permissions.
        opened_at: when the handshake came; every deadline before authentication counts from here.
        draw: returns a number from 0 to 1, anew each time.
        new_id: returns a refusal's id, anew each time.
        readable: whether a refusal may be accepted and closed, so that a page can read it.
    """

    __slots__ = ()

    # What a host reports.

    def start(self, now: float, known: Identity | Refused | None = None) -> list[Command]:
        """Begin with the handshake. Next: `answered`, `connected` or `received`, as the commands say.

        Args:
            now: seconds since the epoch.
            known: the verdict on the handshake's credentials where it is known without asking.
        """
        handshake = self.handshake
        credentials, handshake.credentials = handshake.credentials, None
        if handshake.refused is not None:
            self._end(Refusal.of(handshake.refused, self._new_id()), now)
        elif credentials is not None and known is not None:
            self._answer(credentials, known, now)
        elif credentials is not None:
            self._out.append(self._question.ask(credentials, now))
        elif self.policy.anonymous:
            self._open_for_nobody(now)
        else:
            self._move(ConnectionEvent.WAIT)
            self.accepted = True
            self._out.append(commands.Accept(self._own_choice()))
            self._out.append(
                commands.Send(control.required(accepts(self.policy, self.about.private), self.policy.auth_timeout))
            )
        return self._done(now)

    def answered(self, number: int, outcome: Identity | Refused, now: float) -> list[Command]:
        """Take the verdict on `Verify(number, …)`. A late one changes nothing."""
        self._catch_up(now)
        asked = self._question.answer(number)
        if asked is not None:
            self._wake_at = inf
            self._answer(asked, outcome, now)
        return self._done(now)

    def connected(self, subprotocol: str | None, now: float) -> list[Command]:
        """Take the application's accept, and what it chose of the subprotocols offered to it."""
        self._catch_up(now)
        if self.state is not State.CONNECTING:
            return self._done(now)
        lease = self._held_lease()
        self._move(ConnectionEvent.CONNECT)
        if not self.accepted:
            self.accepted = True
            self._out.append(commands.Accept(self._choice(subprotocol)))
        self.opened = True
        self._stirred_at = now
        expires_at = lease.ends_at if lease.ends else None
        connected = events.Connected(
            at=now, about=self.about, identity=lease.identity, source=self.source, expires_at=expires_at
        )
        self._out.append(commands.Tell(connected))
        if self.speaks:
            self._out.append(commands.Send(control.success(lease, now, self._draw())))
        self._replay(now)
        return self._done(now)

    def received(self, message: Message, now: float) -> list[Command]:
        """Take one whole message of the client."""
        self._catch_up(now)
        self._take(message, now)
        return self._done(now)

    def oversized(self, now: float) -> list[Command]:
        """Refuse a message of the client that is longer than it may be in this state."""
        self._catch_up(now)
        if self.state not in (State.CLOSING, State.CLOSED):
            self._oversized(now)
        return self._done(now)

    def stirred(self, now: float) -> None:
        """Note a message of the application, for `idle_timeout`."""
        self._stirred_at = now

    def rechecked(self, identity: Identity, now: float) -> list[Command]:
        """Take what somebody who was asked again says: other rights, and a later or an earlier end of the lease.

        Args:
            identity: whose the lease is, as of now.
            now: seconds since the epoch.

        Raises:
            ProtocolError: it is another identity's.
        """
        self._catch_up(now)
        self._recheck(identity, now)
        self._replay(now)
        return self._done(now)

    def extended(self, ends_at: float, now: float) -> list[Command]:
        """Move the lease's end forwards: its session was refreshed elsewhere.

        Identity and rights stay, and no attempt and no interval of renewals is touched. An end that is no later
        than the lease's changes nothing; none is later than `max_connection_age`.

        Args:
            ends_at: seconds since the epoch.
            now: the same.
        """
        self._catch_up(now)
        self._extend(ends_at, now)
        self._replay(now)
        return self._done(now)

    def rights_changed(self, identity: Identity, now: float) -> list[Command]:
        """Take the rights that an administrator has changed; the lease's end stays.

        What is being verified at this moment may still carry the old rights: whoever reports its answer lays the
        new ones over it first, here as in every later handshake.

        Args:
            identity: the lease's own, with the roles, permissions and grants of now.
            now: seconds since the epoch.

        Raises:
            ProtocolError: it is somebody else's identity.
        """
        self._catch_up(now)
        self._change_rights(identity, now)
        return self._done(now)

    def refuse_message(self, error: Refused, number: int, detail: str, now: float) -> list[Command]:
        """Refuse an application message, the first being number 1; the connection stays open."""
        if self.state not in (State.OPEN, State.STALE):
            return []
        self._refuse_message(error, number, detail, now)
        return self._done(now)

    def _refuse_message(self, error: Refused, number: int, detail: str, now: float) -> None:
        refusal = Refusal.of(error, self._new_id())
        self._tell_refusal(events.MessageRefused, refusal, None, now)
        if self.speaks:
            self._out.append(commands.Send(control.message_refused(refusal, number, detail)))
        if refusal.code == "message_invalid" and self._too_many_refusals(now):
            self._end(refusal, now)

    def end(self, error: Refused, now: float, close: int | None = None) -> list[Command]:
        """Close because somebody decided so: a revocation, a disconnection, a permission that is missing.

        Args:
            error: says why.
            now: seconds since the epoch.
            close: the close code instead of the table's.
        """
        if self.state not in (State.CLOSING, State.CLOSED):
            refusal = Refusal.of(error, self._new_id())
            self._end(msgspec.structs.replace(refusal, close=close) if close else refusal, now)
        return self._done(now)

    def leave(self, code: int, reason: str, now: float) -> list[Command]:
        """Take the application's own close; what no close frame may hold is put right (RFC 6455 section 7.4)."""
        if self.state not in (State.CLOSING, State.CLOSED):
            code = wire.sendable(code)
            reason = reason.encode("utf-8", "replace")[: wire.REASON_LIMIT].decode("utf-8", "ignore")
            self._close(code, reason, now, wire.CLOSE_TIMEOUT)
            self._tell_closed(code, reason, "application", now)
        return self._done(now)

    def gone(self, code: int, reason: str, now: float) -> list[Command]:
        """Take it that the transport is gone, and with which code."""
        if self.state is not State.CLOSED:
            told = self.state is State.CLOSING
            self._retire(LeaseEvent.REVOKE)
            self._move(ConnectionEvent.END)
            self._abort_at = inf
            if not told:
                self._tell_closed(code, reason, "client", now)
        out, self._out = self._out, []
        return out

    def wake(self, now: float) -> list[Command]:
        """Do what is due. Calling it too early does nothing."""
        self._catch_up(now)
        self._wake_at = inf
        return self._done(now)

    @property
    def taking(self) -> bool:
        """Tell whether the client's next message would be looked at now, and not be held."""
        if self.state is State.PENDING:
            return not self._question.asked and not self._held
        return self.state in (State.OPEN, State.STALE)

    @property
    def passing(self) -> bool:
        """Tell whether messages may pass at this moment."""
        return self.state is State.OPEN

    def _catch_up(self, now: float) -> None:
        """Do what was due before anything else happens: what comes at a deadline comes after it."""
        if now < self._wake_at:
            return
        self._wake_at = inf
        given_up = self._question.give_up(now)
        if given_up is not None and self.state is not State.PENDING:
            late = Refused("unavailable", "the verification took too long", mend="auth_timeout", retry_after=1)
            self._answer(given_up, late, now)
        if self.state is State.PENDING and now >= self.opened_at + self.policy.auth_timeout:
            self._refuse("auth_timeout", "nothing good was presented in time", now, mend="auth_timeout")
        elif self.state is State.CONNECTING and now >= self._held_lease().ends_at:
            self._refuse("token_expired", "the lease ended before the application accepted", now)
        elif self.state is State.OPEN:
            self._wake_open(now)
        elif self.state is State.STALE and now >= self._stale_until():
            self._end(self._expiry(), now)
        elif self.state is State.CLOSING and now >= self._abort_at:
            self._abort_at = inf
            self._out.append(commands.Abort())
        if self.state in (State.OPEN, State.STALE):
            self._ask_waiting(now)

    # The handshake, and before anybody is known.

    def _answer(self, asked: Credentials, outcome: Identity | Refused, now: float) -> None:
        if self.state in (State.OPEN, State.STALE):
            self._answer_renewal(asked, outcome, now)
            self._replay(now)
            return
        error = outcome if isinstance(outcome, Refused) else self._opened(outcome, asked, now)
        if error is None:
            return
        if self.state is State.PENDING and Refusal.of(error, "").close_code == 3000:
            self._spend(events.HandshakeRefused, error, asked, now)
            self._replay(now)
        else:
            self._end(Refusal.of(error, self._new_id()), now, asked)

    def _opened(self, identity: Identity, asked: Credentials, now: float) -> Refused | None:
        """Open for somebody, or return why not."""
        try:
            self._open_for(identity, asked, now)
        except Refused as error:
            return error.as_value()
        return None

    def _pending_message(self, message: Message, now: float) -> None:
        if isinstance(message, bytes):
            self._refuse("message_unsupported", "a binary message came before authentication", now)
            return
        first, self._first = self._first, False
        try:
            credentials = read_first(message, self.policy, self.about.private, first=first)
            self._out.append(self._question.ask(credentials, now))
        except Refused as error:
            self._spend(events.HandshakeRefused, error, None, now)

    def _own_choice(self) -> str:
        ours = self.policy.subprotocols
        return self._choice(next((offer for offer in self.handshake.offered if offer in ours), None))

    # Messages.

    def _take(self, message: Message, now: float) -> None:
        if self.state is State.OPEN:
            self._open_message(message, now)
        elif self.state is State.STALE:
            self._stale_message(message, now)
        elif self.state is State.PENDING:
            if size(message) > self.policy.max_unauthenticated_message:
                self._oversized(now)
            elif self._question.asked or self._held:
                self._hold(message)
            else:
                self._pending_message(message, now)
        elif self.state is State.CONNECTING:
            self._hold(message)

    def _open_message(self, message: Message, now: float) -> None:
        self._stirred_at = now
        if size(message) > self.policy.max_message:
            self._oversized(now)
        elif self._is_renewal(message, now):
            return
        elif self.policy.rules is None:
            self._out.append(commands.Deliver(message))
        else:
            self._judge(message, self.policy.rules, now)

    def _judge(self, message: Message, rules: Rules, now: float) -> None:
        """Let a message pass as the rules say, or refuse it; who may say what is decided by the lease of now."""
        lease = self._held_lease()
        self._judged += 1
        levels = self._levels = {} if self._levels is None else self._levels
        try:
            passes = rules.judge(message, lease.identity, lease.permissions, now, levels)
        except MessageRefused as error:
            self._refuse_message(error, self._judged, error.detail, now)
            if self.state is State.OPEN and not is_in_rate(wire.REFUSED_MESSAGES, _REFUSED, now, levels):
                self._refuse("rate_limited", f"more than {wire.REFUSED_MESSAGES} refused messages", now)
        else:
            self._out.append(commands.Deliver(passes, self._judged))

    def _oversized(self, now: float) -> None:
        key = "max_unauthenticated_message" if self.state is State.PENDING else "max_message"
        self._refuse("message_too_large", f"over {getattr(self.policy, key)} bytes", now, mend=key)

    def _stale_message(self, message: Message, now: float) -> None:
        if not self._is_renewal(message, now):
            self._hold(message)

    def _is_renewal(self, message: Message, now: float) -> bool:
        if not self.speaks or isinstance(message, bytes):
            return False
        try:
            credentials = read_renewal(message, self.policy, self.about.private)
            if credentials is None:
                return False
            self._question.wait(credentials)
            self._ask_waiting(now)
        except Refused as error:
            self._spend(events.RenewalRefused, error, None, now)
        return True

    def _hold(self, message: Message) -> None:
        if self._held is None:
            self._held = Held()
        self._held.add(message)
        if self._held.full:
            self._out.append(commands.Pause("client", True))

    def _replay(self, now: float) -> None:
        """Take up what was held, in order, as far as the state allows; whoever was not read is read again behind it."""
        was_full = self._held is not None and self._held.full
        while self._held and (self.state is State.OPEN or (self.state is State.PENDING and not self._question.asked)):
            message = self._held.take()
            if self.state is State.OPEN:
                self._open_message(message, now)
            else:
                self._pending_message(message, now)
        if was_full and self._held is not None and not self._held.full:
            self._out.append(commands.Pause("client", False))

    # The next deadline.

    def _due(self) -> float:
        """Return when the next thing is due."""
        if self.state is State.OPEN and not self.speaks:
            return min(self._held_lease().ends_at, self._stirred_at + self.policy.idle_timeout)
        due = min(self._abort_at, self._question.due())
        if self.state is State.OPEN:
            lease = self._held_lease()
            due = min(due, lease.ends_at, self._stirred_at + self.policy.idle_timeout)
            if self._must_warn():
                due = min(due, warn_at(lease))
        elif self.state is State.STALE:
            due = min(due, self._stale_until())
        elif self.state is State.PENDING:
            due = min(due, self.opened_at + self.policy.auth_timeout)
        elif self.state is State.CONNECTING:
            due = min(due, self._held_lease().ends_at)
        return due

    def _done(self, now: float) -> list[Command]:
        due = self._due()
        if due != self._wake_at and due < inf:
            self._wake_at = due
            self._out.append(commands.WakeAt(due))
        out, self._out = self._out, []
        return out
