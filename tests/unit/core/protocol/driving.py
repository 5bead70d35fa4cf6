"""Drive one machine by hand: a clock that only the test moves, ids that can be told apart, and what was ordered."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, TypeVar

from wsauth.core.credentials import Credentials
from wsauth.core.events import About, Event
from wsauth.core.handshake import Handshake, Header, read
from wsauth.core.identity import Identity
from wsauth.core.lease import Lease
from wsauth.core.origins import Origins
from wsauth.core.permissions import Roles
from wsauth.core.protocol import commands
from wsauth.core.protocol.commands import Command, Message
from wsauth.core.protocol.machine import Machine
from wsauth.core.protocol.states import State
from wsauth.core.routes import Policy
from wsauth.errors import Refused

NOW = 1_800_000_000.0
ISSUER = "https://login.example.com"
PAGE = "https://app.example.com"
HOST: Header = (b"host", b"chat.example.com")
BEARER: Header = (b"authorization", b"Bearer alices-token")
ORIGIN: Header = (b"origin", PAGE.encode())
ROLES = {"member": ("chat:*:read", "chat:lobby:send"), "guest": ("chat:lobby:read",)}

Kind = TypeVar("Kind", bound=Command)


def policy(**changes: Any) -> Policy:
    """Return the rules of a route to which Alice's page may connect."""
    return Policy(path="/ws", **{"origins": Origins([PAGE]), **changes})


def person(subject: str = "alice", *, ends: float | None = NOW + 300, iat: float = NOW, **changes: Any) -> Identity:
    """Return whom a good credential shows: Alice, a member, for five minutes, unless told otherwise."""
    claims = {"iat": iat, **changes.pop("claims", {})}
    return Identity(subject, expires_at=ends, claims=claims, **{"issuer": ISSUER, "roles": ("member",), **changes})


def handshake(
    rules: Policy | None = None, *headers: Header, query: bytes = b"", offers: Sequence[str] = (), private: bool = True
) -> Handshake:
    """Read a handshake that holds a Host and these headers."""
    return read([HOST, *headers], query, offers, rules or policy(), private=private)


class Driven:
    """Be a machine, its clock and its host.

    Attributes:
        now: the time, which only the test changes.
        ordered: every command so far, in order.
        wake_at: when the machine asked to be woken; `inf` when it did not.
    """

    def __init__(
        self,
        asked: Handshake | None = None,
        *,
        private: bool = True,
        readable: bool = True,
        draw: Callable[[], float] = lambda: 0.5,
        roles: Mapping[str, Sequence[str]] = ROLES,
    ) -> None:
        self.now = NOW
        self.ordered: list[Command] = []
        self.wake_at = inf
        self._ids = 0
        self.machine = Machine(
            About("connection", "/ws", "192.0.2.1", private),
            asked or handshake(),
            Roles(roles),
            opened_at=NOW,
            draw=draw,
            new_id=self._new_id,
            readable=readable,
        )

    def _new_id(self) -> str:
        self._ids += 1
        return f"id{self._ids:010d}"

    @property
    def state(self) -> State:
        """Return how far the connection has come."""
        return self.machine.state

    def keep(self, ordered: list[Command]) -> list[Command]:
        """Note what was ordered, and when to wake."""
        self.ordered += ordered
        for command in of(ordered, commands.WakeAt):
            self.wake_at = command.when
        return ordered

    def start(self, known: Identity | Refused | None = None) -> list[Command]:
        """Begin, perhaps with a verdict that is known without asking."""
        return self.keep(self.machine.start(self.now, known))

    def say(self, message: Message) -> list[Command]:
        """Let the client send one message."""
        return self.keep(self.machine.received(message, self.now))

    def oversize(self) -> list[Command]:
        """Let the client have begun a message that is longer than it may be."""
        return self.keep(self.machine.oversized(self.now))

    def present(self, token: str = "fresh-token", /, **members: Any) -> list[Command]:
        """Let the client send an `auth` message."""
        return self.say(json.dumps({"type": "auth", **(members or {"token": token})}))

    def answer(self, outcome: Identity | Refused, number: int | None = None) -> list[Command]:
        """Answer the newest question, or the one of this number."""
        asked = of(self.ordered, commands.Verify)[-1].number if number is None else number
        return self.keep(self.machine.answered(asked, outcome, self.now))

    def connect(self, subprotocol: str | None = None) -> list[Command]:
        """Let the application accept."""
        return self.keep(self.machine.connected(subprotocol, self.now))

    def wake(self, at: float | None = None) -> list[Command]:
        """Move the clock to this time, or to the one asked for, and wake the machine once."""
        self.now = self.wake_at if at is None else at
        self.wake_at = inf
        return self.keep(self.machine.wake(self.now))

    def extend(self, ends_at: float) -> list[Command]:
        """Let the lease's session have been refreshed until then."""
        return self.keep(self.machine.extended(ends_at, self.now))

    def change_rights(self, identity: Identity) -> list[Command]:
        """Let an administrator have changed what this identity may do."""
        return self.keep(self.machine.rights_changed(identity, self.now))

    def recheck(self, identity: Identity) -> list[Command]:
        """Let somebody who was asked again have answered so."""
        return self.keep(self.machine.rechecked(identity, self.now))

    def end(self, code: str, **changes: Any) -> list[Command]:
        """Let somebody decide that the connection ends."""
        close = changes.pop("close", None)
        return self.keep(self.machine.end(Refused(code, "as decided", **changes), self.now, close))

    def leave(self, code: int = 1000, reason: str = "bye") -> list[Command]:
        """Let the application close."""
        return self.keep(self.machine.leave(code, reason, self.now))

    def gone(self) -> list[Command]:
        """Let the transport be gone."""
        return self.keep(self.machine.gone(1001, "away", self.now))

    def refuse(self, code: str = "message_invalid", detail: str = "room: is required") -> list[Command]:
        """Let the application refuse the message it was given last."""
        number = len(of(self.ordered, commands.Deliver))
        return self.keep(self.machine.refuse_message(Refused(code, "as decided"), number, detail, self.now))


def of(ordered: Iterable[Command], kind: type[Kind]) -> list[Kind]:
    """Return the commands of one kind."""
    return [command for command in ordered if isinstance(command, kind)]


def sent(ordered: Iterable[Command]) -> list[dict[str, Any]]:
    """Return the control messages, read."""
    return [json.loads(command.text) for command in of(ordered, commands.Send)]


def delivered(ordered: Iterable[Command]) -> list[Message]:
    """Return the messages that were passed on."""
    return [command.message for command in of(ordered, commands.Deliver)]


def told(ordered: Iterable[Command]) -> list[Event]:
    """Return the events that were published."""
    return [command.event for command in of(ordered, commands.Tell)]


def plain(ordered: Iterable[Command]) -> list[str]:
    """Return the commands' names in order, without events and wake-ups."""
    return [type(command).__name__ for command in ordered if not isinstance(command, commands.Tell | commands.WakeAt)]


def opened(rules: Policy | None = None, who: Identity | None = None, **changes: Any) -> Driven:
    """Return a connection that Alice opened with `wsauth.v1` and a header."""
    driven = Driven(handshake(rules, BEARER, offers=("wsauth.v1",)), **changes)
    driven.start()
    driven.answer(who or person())
    driven.connect()
    return driven


def pending(rules: Policy | None = None, **changes: Any) -> Driven:
    """Return a connection whose handshake brought nothing."""
    driven = Driven(handshake(rules), **changes)
    driven.start()
    return driven


def stale(rules: Policy | None = None, who: Identity | None = None) -> Driven:
    """Return a connection whose lease has just ended."""
    driven = opened(rules, who)
    lease = driven.machine.lease
    assert lease is not None
    driven.wake(lease.ends_at)
    return driven


def lease_of(driven: Driven) -> Lease:
    """Return the lease, which is there."""
    lease = driven.machine.lease
    assert lease is not None
    return lease


def connecting(rules: Policy | None = None, who: Identity | None = None) -> Driven:
    """Return a connection with a lease, whose application has not accepted yet."""
    driven = Driven(handshake(rules, BEARER, offers=("wsauth.v1",)))
    driven.start()
    driven.answer(who or person())
    return driven


def silent(rules: Policy | None = None) -> Driven:
    """Return an open connection that does not speak wsauth."""
    driven = Driven(handshake(rules, BEARER))
    driven.start()
    driven.answer(person())
    driven.connect()
    return driven


def in_state(state: State) -> Driven:
    """Return a connection in a state in which there is no lease, or one that is over."""
    if state is State.HANDSHAKING:
        driven = Driven(handshake(None, BEARER))
        driven.start()
    elif state is State.PENDING:
        driven = pending()
    else:
        driven = opened()
        driven.leave()
        if state is State.CLOSED:
            driven.gone()
    return driven


def secret_of(question: commands.Verify) -> str:
    """Return what is to be verified."""
    credentials: Credentials = question.credentials
    return credentials.secret
