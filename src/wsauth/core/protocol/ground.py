"""What every part of a connection's machine stands on: its state and how it moves, saying no, and closing."""

from collections import deque
from collections.abc import Callable
from math import inf

from wsauth.core import events
from wsauth.core.credentials import Credentials
from wsauth.core.handshake import Handshake
from wsauth.core.identity import Identity
from wsauth.core.lease import Lease
from wsauth.core.permissions import Roles
from wsauth.core.protocol import commands, control, wire
from wsauth.core.protocol.commands import Command
from wsauth.core.protocol.held import Held
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
from wsauth.errors import Refused

__all__ = ["Ground", "RefusalKind"]

RefusalKind = type[events.HandshakeRefused] | type[events.RenewalRefused] | type[events.MessageRefused]


class Ground:
    """Hold what is known of one connection. `Machine` says what the arguments are."""

    __slots__ = (
        "_abort_at",
        "_attempts_left",
        "_draw",
        "_expired",
        "_first",
        "_held",
        "_judged",
        "_late",
        "_lease_state",
        "_levels",
        "_message_refusals",
        "_new_id",
        "_out",
        "_question",
        "_readable",
        "_roles",
        "_stirred_at",
        "_told",
        "_wake_at",
        "_warned",
        "about",
        "accepted",
        "handshake",
        "lease",
        "opened",
        "opened_at",
        "policy",
        "source",
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
        self.opened_at = opened_at
        self._draw = draw
        self._new_id = new_id
        self._readable = readable
        self._lease_state = LeaseState.NONE
        self._question = Question(self.policy.auth_timeout)
        self.source = ""
        self._late = False
        self._attempts_left = self.policy.auth_attempts
        self._warned = False
        self._expired: Refusal | None = None
        self._held: Held | None = None
        self._first = True
        self._message_refusals: deque[float] | None = None
        self._judged = 0
        self._levels: dict[str, float] | None = None
        self._stirred_at = opened_at
        self._abort_at = inf
        self._told: Lease | None = None
        self._wake_at = inf
        self._out: list[Command] = []

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
        self._close(refusal.close_code, refusal.close_reason, now, timeout, at_once=refusal.takes_away)
        self._tell_closed(refusal.close_code, refusal.close_reason, "wsauth", now, refusal)

    def _choice(self, chosen: str | None) -> str:
        if chosen and chosen in self.handshake.offered:
            return chosen
        return self.handshake.echo or (wire.SUBPROTOCOL if self.handshake.speaks else "")

    def _too_many_refusals(self, now: float) -> bool:
        if self._message_refusals is None:
            self._message_refusals = deque(maxlen=wire.MESSAGE_REFUSALS_PER_MINUTE)
        recent = self._message_refusals
        full = len(recent) == recent.maxlen and now - recent[0] < 60
        recent.append(now)
        return full

    def _is_readable(self, refusal: Refusal) -> bool:
        """Tell whether the refusal is accepted and closed, since a page cannot see an HTTP status."""
        if not self._readable or self.policy.refusals == "http":
            return False
        page = self.handshake.browser or (self.policy.refusals == "close" and not self.handshake.origin)
        return page and (refusal.rule.close == 3000 or refusal.code == "permission_denied")

    def _close(self, code: int, reason: str, now: float, timeout: float, *, at_once: bool = False) -> None:
        self._retire(LeaseEvent.REVOKE)
        self._move(ConnectionEvent.CLOSE)
        self._abort_at = now + timeout
        self._out.append(commands.Close(code, reason, at_once))

    def _retire(self, event: LeaseEvent) -> None:
        """Drop what was asked, held and granted."""
        self._lease_state = LEASE[self._lease_state, event]
        self._question.drop()
        self._held = None

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

    # Small parts.

    def _move(self, event: ConnectionEvent) -> None:
        state = CONNECTION.get((self.state, event))
        if state is None:
            unknown(self.state, event)
        self.state = state

    def _put(self, lease: Lease, event: LeaseEvent) -> None:
        self._lease_state = LEASE[self._lease_state, event]
        self.lease = lease

    def _held_lease(self) -> Lease:
        if self.lease is None:
            unknown(self._lease_state, LeaseEvent.EXPIRE)
        return self.lease

    def _identity(self) -> Identity | None:
        return self.lease.identity if self.lease else None
