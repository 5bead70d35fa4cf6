"""The three regions of a connection, as tables. A missing key is the protocol error.

Every connection is in one state of each region at a time. **Connection** is how far it has come, **question** is
whether a verification is under way, **lease** is whether somebody may speak. The diagram in
`docs/topics/machine.md` is drawn from these tables.
"""

from enum import Enum
from typing import Final, NoReturn

from wsauth.errors import ProtocolError

__all__ = [
    "CONNECTION",
    "LEASE",
    "QUESTION",
    "ConnectionEvent",
    "LeaseEvent",
    "LeaseState",
    "QuestionEvent",
    "QuestionState",
    "State",
    "unknown",
]


class State(Enum):
    """How far a connection has come."""

    HANDSHAKING = "handshaking"
    PENDING = "pending"
    CONNECTING = "connecting"
    OPEN = "open"
    STALE = "stale"
    CLOSING = "closing"
    CLOSED = "closed"

    __hash__ = object.__hash__


class ConnectionEvent(Enum):
    """What moves a connection."""

    WAIT = "nothing was presented, a message may"
    GRANT = "a lease was granted"
    CONNECT = "the application accepted"
    EXPIRE = "the lease ended"
    RENEW = "the lease was renewed or extended"
    CLOSE = "somebody closes"
    END = "the transport is gone, or HTTP refused"

    __hash__ = object.__hash__


CONNECTION: Final = {
    (State.HANDSHAKING, ConnectionEvent.WAIT): State.PENDING,
    (State.HANDSHAKING, ConnectionEvent.GRANT): State.CONNECTING,
    (State.HANDSHAKING, ConnectionEvent.CLOSE): State.CLOSING,
    (State.HANDSHAKING, ConnectionEvent.END): State.CLOSED,
    (State.PENDING, ConnectionEvent.GRANT): State.CONNECTING,
    (State.PENDING, ConnectionEvent.CLOSE): State.CLOSING,
    (State.PENDING, ConnectionEvent.END): State.CLOSED,
    (State.CONNECTING, ConnectionEvent.CONNECT): State.OPEN,
    (State.CONNECTING, ConnectionEvent.CLOSE): State.CLOSING,
    (State.CONNECTING, ConnectionEvent.END): State.CLOSED,
    (State.OPEN, ConnectionEvent.RENEW): State.OPEN,
    (State.OPEN, ConnectionEvent.EXPIRE): State.STALE,
    (State.OPEN, ConnectionEvent.CLOSE): State.CLOSING,
    (State.OPEN, ConnectionEvent.END): State.CLOSED,
    (State.STALE, ConnectionEvent.RENEW): State.OPEN,
    (State.STALE, ConnectionEvent.CLOSE): State.CLOSING,
    (State.STALE, ConnectionEvent.END): State.CLOSED,
    (State.CLOSING, ConnectionEvent.END): State.CLOSED,
}


class QuestionState(Enum):
    """Whether a verification is under way."""

    NONE = "none"
    ASKED = "asked"

    __hash__ = object.__hash__


class QuestionEvent(Enum):
    """What starts and ends a verification."""

    ASK = "credentials are given to be verified"
    ANSWER = "the answer to this very question"
    DROP = "nobody waits for the answer any more"

    __hash__ = object.__hash__


QUESTION: Final = {
    (QuestionState.NONE, QuestionEvent.ASK): QuestionState.ASKED,
    (QuestionState.NONE, QuestionEvent.DROP): QuestionState.NONE,
    (QuestionState.ASKED, QuestionEvent.ANSWER): QuestionState.NONE,
    (QuestionState.ASKED, QuestionEvent.DROP): QuestionState.NONE,
}


class LeaseState(Enum):
    """Whether somebody may speak."""

    NONE = "none"
    ALIVE = "alive"
    ENDED = "ended"

    __hash__ = object.__hash__


class LeaseEvent(Enum):
    """What happens to a lease."""

    GRANT = "a credential was good"
    REPLACE = "a newer credential was good"
    EXTEND = "its end moved, since the session was refreshed or the server asked again"
    CHANGE = "an administrator changed the rights"
    EXPIRE = "its end has come"
    REVOKE = "it was taken, or the connection closes"

    __hash__ = object.__hash__


LEASE: Final = {
    (LeaseState.NONE, LeaseEvent.GRANT): LeaseState.ALIVE,
    (LeaseState.NONE, LeaseEvent.REVOKE): LeaseState.ENDED,
    (LeaseState.ALIVE, LeaseEvent.REPLACE): LeaseState.ALIVE,
    (LeaseState.ALIVE, LeaseEvent.EXTEND): LeaseState.ALIVE,
    (LeaseState.ALIVE, LeaseEvent.CHANGE): LeaseState.ALIVE,
    (LeaseState.ALIVE, LeaseEvent.EXPIRE): LeaseState.ENDED,
    (LeaseState.ALIVE, LeaseEvent.REVOKE): LeaseState.ENDED,
    (LeaseState.ENDED, LeaseEvent.REPLACE): LeaseState.ALIVE,
    (LeaseState.ENDED, LeaseEvent.EXTEND): LeaseState.ALIVE,
    (LeaseState.ENDED, LeaseEvent.CHANGE): LeaseState.ENDED,
    (LeaseState.ENDED, LeaseEvent.REVOKE): LeaseState.ENDED,
}


def unknown(state: Enum, event: Enum) -> NoReturn:
    """Raise the protocol error for a key that a table does not have."""
    raise ProtocolError(f"{type(state).__name__} {state.value!r} does not know {event.name}: {event.value}")
