"""The machine behind every connection: events and `now` go in, commands come out.

A host (the ASGI middleware, the gateway) makes one `Machine` for each handshake, calls `start`, and from then on
reports what happens and carries out what it is told, in order. Each method returns the commands; after most of them
comes a `WakeAt`, which a host answers with `wake`. The machine reads no clock and draws no numbers.

What it keeps true is listed in `docs/topics/machine.md`.
"""

from collections import deque
from collections.abc import Callable
from math import inf

import msgspec

from wsauth.core import events
from wsauth.core.credentials import Credentials
from wsauth.core.handshake import Handshake
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.lease import Lease, grant, is_unchanged, is_weaker, warn_at
from wsauth.core.permissions import Roles
from wsauth.core.protocol import commands, control, wire
from wsauth.core.protocol.commands import Command, Message
from wsauth.core.protocol.held import Held, size
from wsauth.core.protocol.presented import accepts, read_first, read_renewal
from wsauth.core.protocol.question import Question
from wsauth.core.protocol.states import (
    CONNECTION,
    LEASE,
    ConnectionEvent,
    LeaseEvent,
    LeaseState,
    State,
    unknown,
)
from wsauth.core.refusals import Refusal
from wsauth.errors import PermissionDenied, Refused

__all__ = ["Machine"]

RefusalKind = type[events.HandshakeRefused] | type[events.RenewalRefused] | type[events.MessageRefused]


class Machine:
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

    __slots__ = (
        "_abort_at",
        "_attempts_left",
        "_draw",
        "_expired",
        "_first",
        "_held",
        "_late",
        "_lease_state",
        "_message_refusals",
        "_new_id",
        "_opened_at",
        "_out",
        "_question",
        "_readable",
        "_roles",
        "_source",
        "_stirred_at",
        "_wake_at",
        "_warned",
        "about",
        "accepted",
        "handshake",
        "lease",
        "opened",
        "policy",
        "speaks",
        "state",
    )

    def __init__(
        self,
        about: events.About,
        handshake: Handshake,
        roles: Roles,
        *,
        opened_at: float,
        draw: Callable[[], float],
        new_id: Callable[[], str],
        readable: bool = True,
    ) -> None:
        self.about = about
        self.handshake = handshake
        self.policy = handshake.policy
        self.state = State.HANDSHAKING
        self.lease: Lease | None = None
        self.speaks = handshake.speaks
        self.accepted = False
        self.opened = False
        self._roles = roles
        self._opened_at = opened_at
        self._draw = draw
        self._new_id = new_id
        self._readable = readable
        self._lease_state = LeaseState.NONE
        self._question = Question(self.policy.auth_timeout)
        self._source = ""
        self._late = False
        self._attempts_left = self.policy.auth_attempts
        self._warned = False
        self._expired: Refusal | None = None
        self._held: Held | None = None
        self._first = True
        self._message_refusals: deque[float] | None = None
        self._stirred_at = opened_at
        self._abort_at = inf
        self._wake_at = inf
        self._out: list[Command] = []

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
            at=now, about=self.about, identity=lease.identity, source=self._source, expires_at=expires_at
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

    def stirred(self, now: float) -> None:
        """Note a message of the application, for `idle_timeout`."""
        self._stirred_at = now

    def refuse_message(self, error: Refused, number: int, detail: str, now: float) -> list[Command]:
        """Refuse an application message, the first being number 1; the connection stays open."""
        if self.state not in (State.OPEN, State.STALE):
            return []
        refusal = Refusal.of(error, self._new_id())
        self._tell_refusal(events.MessageRefused, refusal, None, now)
        if self.speaks:
            self._out.append(commands.Send(control.message_refused(refusal, number, detail)))
        if refusal.code == "message_invalid" and self._too_many_refusals(now):
            self._end(refusal, now)
        return self._done(now)

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
            code = code if wire.may_be_sent(code) else 1000
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
        if self.state is State.PENDING and now >= self._opened_at + self.policy.auth_timeout:
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
            return
        try:
            if isinstance(outcome, Refused):
                raise outcome
            self._open_for(outcome, asked, now)
        except Refused as error:
            if self.state is State.PENDING and Refusal.of(error, "").close_code == 3000:
                self._spend(events.HandshakeRefused, error, asked, now)
                self._replay(now)
            else:
                self._end(Refusal.of(error, self._new_id()), now, asked)

    def _open_for(self, identity: Identity, credentials: Credentials | None, now: float) -> None:
        self.lease = self._lease_for(identity, credentials, now)
        self._source = credentials.source if credentials else ""
        self._lease_state = LEASE[self._lease_state, LeaseEvent.GRANT]
        self.speaks = self.speaks or self.accepted
        self._attempts_left = self.policy.auth_attempts
        self._move(ConnectionEvent.GRANT)
        self._out.append(commands.Connect())

    def _open_for_nobody(self, now: float) -> None:
        try:
            self._open_for(NOBODY, None, now)
        except Refused as error:
            self._end(Refusal.of(error, self._new_id()), now)

    def _lease_for(self, identity: Identity, credentials: Credentials | None, now: float) -> Lease:
        permissions = self._roles.resolve(identity)
        for name in self.policy.require:
            if not permissions.allow(name):
                raise PermissionDenied(name, f"{identity} lacks {name!r}, which {self.policy.path} requires")
        lease = grant(identity, permissions, credentials, self.policy, now=now, opened_at=self._opened_at)
        if lease.ends_at <= now:
            raise Refused("token_expired", f"the credentials of {identity} have ended")
        return lease

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

    def _choice(self, chosen: str | None) -> str:
        if chosen and chosen in self.handshake.offered:
            return chosen
        return self.handshake.echo or (wire.SUBPROTOCOL if self.handshake.speaks else "")

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
                limit = self.policy.max_unauthenticated_message
                self._refuse("message_too_large", f"over {limit} bytes", now, mend="max_unauthenticated_message")
            elif self._question.asked or self._held:
                self._hold(message)
            else:
                self._pending_message(message, now)
        elif self.state is State.CONNECTING:
            self._hold(message)

    def _open_message(self, message: Message, now: float) -> None:
        self._stirred_at = now
        if size(message) > self.policy.max_message:
            self._refuse("message_too_large", f"over {self.policy.max_message} bytes", now, mend="max_message")
        elif not self._is_renewal(message, now):
            self._out.append(commands.Deliver(message))

    def _stale_message(self, message: Message, now: float) -> None:
        if not self._is_renewal(message, now):
            self._hold(message)

    def _hold(self, message: Message) -> None:
        if self._held is None:
            self._held = Held()
        self._held.add(message)
        if self._held.full:
            self._out.append(commands.Pause("client", True))

    def _replay(self, now: float) -> None:
        """Take up what was held, in order, as far as the state allows."""
        while self._held and (self.state is State.OPEN or (self.state is State.PENDING and not self._question.asked)):
            held = self._held
            was_full = held.full
            message = held.take()
            if was_full and not held.full:
                self._out.append(commands.Pause("client", False))
            if self.state is State.OPEN:
                self._open_message(message, now)
            else:
                self._pending_message(message, now)

    def _too_many_refusals(self, now: float) -> bool:
        if self._message_refusals is None:
            self._message_refusals = deque(maxlen=wire.MESSAGE_REFUSALS_PER_MINUTE)
        recent = self._message_refusals
        full = len(recent) == recent.maxlen and now - recent[0] < 60
        recent.append(now)
        return full

    # Renewals.

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

    def _ask_waiting(self, now: float) -> None:
        verify = self._question.ask_waiting(now)
        if verify is not None:
            self._out.append(verify)

    def _answer_renewal(self, asked: Credentials, outcome: Identity | Refused, now: float) -> None:
        try:
            if isinstance(outcome, Refused):
                raise outcome
            self._renew(outcome, asked, now)
        except PermissionDenied as error:
            self._end(Refusal.of(error, self._new_id()), now, asked)
        except Refused as error:
            self._spend(events.RenewalRefused, error, asked, now)
        self._late = self._late and self._question.unanswered
        if self.state is State.STALE and now >= self._stale_until():
            self._end(self._expiry(), now)
        elif self.state in (State.OPEN, State.STALE):
            self._ask_waiting(now)

    def _renew(self, identity: Identity, credentials: Credentials, now: float) -> None:
        old = self._held_lease()
        if old.identity is not NOBODY:
            if identity.key != old.identity.key:
                raise Refused("identity_mismatch", f"the connection is {old.identity}'s, not {identity}'s")
            if is_weaker(identity, old.identity):
                raise Refused("step_up_required", f"the new credential of {identity} proves less than the last")
        unchanged = is_unchanged(identity, credentials, old)
        if unchanged and self.state is State.STALE:
            raise Refused("token_expired", f"an older credential of {identity} cannot revive the lease")
        if not unchanged:
            self._replace(self._lease_for(identity, credentials, now), old, now)
        self._question.succeeded(now)
        self._attempts_left = self.policy.auth_attempts
        self._out.append(commands.Send(control.success(self._held_lease(), now, self._draw())))
        self._replay(now)

    def _replace(self, lease: Lease, old: Lease, now: float) -> None:
        was_stale = self.state is State.STALE
        self.lease = lease
        self._lease_state = LEASE[self._lease_state, LeaseEvent.REPLACE]
        self._move(ConnectionEvent.RENEW)
        self._warned = False
        self._expired = None
        if was_stale:
            self._stirred_at = now
            self._out.append(commands.Pause("upstream", False))
        expires_at = lease.ends_at if lease.ends else None
        renewed = events.Renewed(at=now, about=self.about, identity=lease.identity, expires_at=expires_at)
        self._out.append(commands.Tell(renewed))
        if lease.permissions != old.permissions:
            has, had = set(lease.permissions.names), set(old.permissions.names)
            gained, lost = tuple(sorted(has - had)), tuple(sorted(had - has))
            rights = events.RightsChanged(at=now, about=self.about, identity=lease.identity, gained=gained, lost=lost)
            self._out.append(commands.Tell(rights))

    # The end of a lease.

    def _wake_open(self, now: float) -> None:
        lease = self._held_lease()
        if now >= lease.ends_at:
            self._expire(now)
        elif now >= self._stirred_at + self.policy.idle_timeout:
            self._refuse("idle_timeout", "nothing was said for too long", now, mend="idle_timeout")
        elif self._must_warn() and now >= warn_at(lease):
            self._warned = True
            self._out.append(commands.Send(control.expiring(lease.ends_at - now)))

    def _must_warn(self) -> bool:
        if self._warned or not self.speaks or self._question.unanswered:
            return False
        return self._held_lease().ends

    def _expire(self, now: float) -> None:
        self._late = self._question.unanswered
        self._lease_state = LEASE[self._lease_state, LeaseEvent.EXPIRE]
        self._move(ConnectionEvent.EXPIRE)
        self._out.append(commands.Tell(events.Expired(at=now, about=self.about, identity=self._identity())))
        if now >= self._stale_until():
            self._end(self._expiry(), now)
            return
        self._out.append(commands.Pause("upstream", True))
        if self.speaks:
            self._out.append(commands.Send(control.error(self._expiry(), closing=False)))
        else:
            self._out.append(commands.Pause("client", True))

    def _stale_until(self) -> float:
        grace = max(self.policy.grace, self.policy.auth_timeout) if self._late else self.policy.grace
        return min(self._held_lease().ends_at + grace, self._opened_at + self.policy.max_connection_age)

    def _expiry(self) -> Refusal:
        if self._expired is None:
            mend = "max_connection_age" if self._stale_until() == self._held_lease().ends_at else ""
            self._expired = Refusal("token_expired", self._new_id(), reason="the lease ended", mend=mend)
        return self._expired

    # Saying no, and closing.

    def _refuse(self, code: str, reason: str, now: float, *, mend: str = "") -> None:
        self._end(Refusal(code, self._new_id(), reason=reason, mend=mend), now)

    def _spend(self, kind: RefusalKind, error: Refused, presented: Credentials | None, now: float) -> None:
        """Answer a wrong credential; it costs an attempt unless it could not be judged."""
        refusal = Refusal.of(error, self._new_id())
        self._tell_refusal(kind, refusal, presented, now)
        if refusal.code != "unavailable":
            self._attempts_left -= 1
        if self._attempts_left <= 0:
            self._refuse("too_many_attempts", f"the last one: {refusal.reason}", now, mend="auth_attempts")
        else:
            text = control.error(refusal, closing=False, attempts_left=self._attempts_left)
            self._out.append(commands.Send(text))

    def _end(self, refusal: Refusal, now: float, presented: Credentials | None = None) -> None:
        """Say no for good: by HTTP while that is possible, else by `auth_error` and a close frame."""
        if not self.opened:
            self._tell_refusal(events.HandshakeRefused, refusal, presented, now)
        if not self.accepted and not self._is_readable(refusal):
            self._retire(LeaseEvent.REVOKE)
            self._move(ConnectionEvent.END)
            self._out.append(commands.Refuse(refusal))
            return
        timeout = wire.CLOSE_TIMEOUT
        if not self.accepted:
            self.accepted = True
            timeout = wire.REFUSED_CLOSE_TIMEOUT
            offers = self.handshake.offered
            self._out.append(commands.Accept(self._choice(offers[0] if offers and not self.speaks else None)))
        if self.speaks or self.state is State.PENDING:
            self._out.append(commands.Send(control.error(refusal, closing=True)))
        self._close(refusal.close_code, refusal.close_reason, now, timeout)
        self._tell_closed(refusal.close_code, refusal.close_reason, "wsauth", now, refusal)

    def _is_readable(self, refusal: Refusal) -> bool:
        """Tell whether the refusal is accepted and closed, since a page cannot see an HTTP status."""
        if not self._readable or self.policy.refusals == "http":
            return False
        page = self.handshake.browser or (self.policy.refusals == "close" and not self.handshake.origin)
        return page and (refusal.rule.close == 3000 or refusal.code == "permission_denied")

    def _close(self, code: int, reason: str, now: float, timeout: float) -> None:
        self._retire(LeaseEvent.REVOKE)
        self._move(ConnectionEvent.CLOSE)
        self._abort_at = now + timeout
        self._out.append(commands.Close(code, reason))

    def _retire(self, event: LeaseEvent) -> None:
        """Drop what was asked, held and granted."""
        self._lease_state = LEASE[self._lease_state, event]
        self._question.drop()
        self._held = None

    # Small parts.

    def _move(self, event: ConnectionEvent) -> None:
        state = CONNECTION.get((self.state, event))
        if state is None:
            unknown(self.state, event)
        self.state = state

    def _held_lease(self) -> Lease:
        if self.lease is None:
            unknown(self._lease_state, LeaseEvent.EXPIRE)
        return self.lease

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
            due = min(due, self._opened_at + self.policy.auth_timeout)
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

    def _identity(self) -> Identity | None:
        return self.lease.identity if self.lease else None

    def _tell_refusal(self, kind: RefusalKind, refusal: Refusal, presented: Credentials | None, now: float) -> None:
        refused = kind(
            at=now,
            about=self.about,
            identity=self._identity(),
            code=refusal.code,
            id=refusal.id,
            reason=refusal.reason,
            mend=refusal.mend,
            source=presented.source if presented else "",
        )
        self._out.append(commands.Tell(refused))

    def _tell_closed(self, code: int, reason: str, by: str, now: float, refusal: Refusal | None = None) -> None:
        if not self.opened:
            return
        closed = events.Closed(
            at=now,
            about=self.about,
            identity=self._identity(),
            code=code,
            reason=reason,
            by=by,
            explanation=refusal.reason if refusal else "",
            mend=refusal.mend if refusal else "",
        )
        self._out.append(commands.Tell(closed))
