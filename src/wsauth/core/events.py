"""Everything that happened and mattered, as values. Logs, metrics, audit and alerts are subscribers of these."""

import msgspec

from wsauth.core.identity import OWN_ISSUER, Identity

__all__ = [
    "About",
    "Alerted",
    "BlockChanged",
    "ChangeEvent",
    "Closed",
    "Connected",
    "ConnectionEvent",
    "Disconnected",
    "EndingEvent",
    "Enforced",
    "Event",
    "Expired",
    "HandshakeRefused",
    "KeysChanged",
    "LoggedIn",
    "LoginFailed",
    "Measurement",
    "MessageRefused",
    "Noticed",
    "PasswordChanged",
    "RefusalEvent",
    "RenewalRefused",
    "Renewed",
    "RequestRefused",
    "Revoked",
    "RightsChanged",
    "SessionEnded",
    "TicketIssued",
    "TokenReused",
    "UserChanged",
    "Verified",
]


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Be something that happened.

    Attributes:
        at: seconds since the epoch.
    """

    at: float


class About(msgspec.Struct, frozen=True, gc=False):
    """Say which connection it is.

    Attributes:
        connection_id: 32 hexadecimal digits; a handle that opens nothing.
        path: as sent, without the query.
        address: the peer's, or empty.
        private: nobody can listen (TLS or loopback); passwords need it.
    """

    connection_id: str
    path: str
    address: str
    private: bool


class ConnectionEvent(Event, frozen=True, kw_only=True, gc=False):
    """Be something that happened to one connection.

    Attributes:
        about: which.
        identity: whose, as of then; `None` while nobody is known.
    """

    about: About
    identity: Identity | None

    @property
    def connection_id(self) -> str:
        """Return the connection's handle."""
        return self.about.connection_id


class Connected(ConnectionEvent, frozen=True, kw_only=True, gc=False):
    """A connection opened, its lease alive.

    Attributes:
        source: where its credentials were found; empty for nobody.
        expires_at: the lease's end in seconds since the epoch, or `None`.
    """

    source: str
    expires_at: float | None


class Renewed(ConnectionEvent, frozen=True, kw_only=True, gc=False):
    """A newer credential replaced the lease, or its end was extended from elsewhere."""

    expires_at: float | None


class RightsChanged(ConnectionEvent, frozen=True, kw_only=True, gc=False):
    """What an open connection may do has changed.

    Attributes:
        gained: permissions and patterns it has now and had not.
        lost: the reverse.
    """

    gained: tuple[str, ...]
    lost: tuple[str, ...]


class Expired(ConnectionEvent, frozen=True, kw_only=True, gc=False):
    """A lease ended and was not renewed in time; the connection is stale."""


class Closed(ConnectionEvent, frozen=True, kw_only=True, gc=False):
    """A connection that was open has ended.

    Attributes:
        code: the close code, as the application sees it.
        reason: the close reason.
        by: who ended it: `wsauth`, `application` or `client`.
        explanation: by wsauth, which rule said so and what it saw; for the log.
        mend: the configuration line that would change it; may be empty.
    """

    code: int
    reason: str
    by: str
    explanation: str = ""
    mend: str = ""


class RefusalEvent(ConnectionEvent, frozen=True, kw_only=True, gc=False):
    """Be a no to somebody.

    Attributes:
        code: a key of the refusal table.
        id: what the client was told, to ask for.
        reason: which rule said no and what it saw.
        mend: the configuration line that would change it; may be empty.
        source: where the credentials were found; empty without any.
    """

    code: str
    id: str
    reason: str
    mend: str
    source: str


class HandshakeRefused(RefusalEvent, frozen=True, kw_only=True, gc=False):
    """A connection was refused before it opened, by HTTP or while it was pending."""


class RenewalRefused(RefusalEvent, frozen=True, kw_only=True, gc=False):
    """A credential presented on a connection was refused; the connection goes on as it was."""


class MessageRefused(RefusalEvent, frozen=True, kw_only=True, gc=False):
    """A message of the application's was refused; the connection goes on."""


class EndingEvent(Event, frozen=True, kw_only=True, gc=False):
    """Be an order that ended connections.

    Attributes:
        id: 12 characters.
        subject, issuer, session_id, token_id, connection_id: what it named.
        matched: connections it touched; `None` in the audit log's entry, which is written before any of them is.
    """

    id: str
    matched: int | None
    subject: str | None = None
    issuer: str | None = None
    session_id: str | None = None
    token_id: str | None = None
    connection_id: str | None = None


class Revoked(EndingEvent, frozen=True, kw_only=True, gc=False):
    """Credentials were revoked: what they opened was closed and they may not come back."""


class Disconnected(EndingEvent, frozen=True, kw_only=True, gc=False):
    """Connections were closed and may come back."""


class TicketIssued(Event, frozen=True, kw_only=True, gc=False):
    """A ticket was made for somebody."""

    identity: Identity
    path: str | None
    origin: str | None


class LoggedIn(Event, frozen=True, kw_only=True, gc=False):
    """Somebody proved who they are, and a session began."""

    identity: Identity
    address: str


class LoginFailed(Event, frozen=True, kw_only=True, gc=False):
    """A password of an account was wrong, or was not looked at since there were too many before it.

    Attributes:
        account: what the name that was typed is counted as; it tells the name to nobody.
        subject: whose account it is; `None` where there is none of that name.
        address: from where.
        code: `credentials_invalid` or `account_locked`.
    """

    account: str
    subject: str | None
    address: str
    code: str


class Noticed(Event, frozen=True, kw_only=True, gc=False):
    """Something looks like an attack.

    Attributes:
        what: a key of `core.noticing.NOTICES`.
        reason: what was seen, for people.
        address: from where; empty: from many or unknown.
        subject, issuer, session_id, token_id, connection_id: whom it is about, as far as that is known.
    """

    what: str
    reason: str
    address: str = ""
    subject: str | None = None
    issuer: str | None = None
    session_id: str | None = None
    token_id: str | None = None
    connection_id: str | None = None


class ChangeEvent(Event, frozen=True, kw_only=True, gc=False):
    """Be something about a session, a user or a key that was changed."""


class TokenReused(ChangeEvent, frozen=True, kw_only=True, gc=False):
    """An old refresh token came back, so its session was ended (RFC 9700 section 4.14).

    Attributes:
        subject: whose session it was.
        issuer: whose subject.
        session_id: which.
        address: from where it came back.
    """

    subject: str
    issuer: str = OWN_ISSUER
    session_id: str
    address: str = ""


class SessionEnded(ChangeEvent, frozen=True, kw_only=True, gc=False):
    """A session was ended: a log-out, or an administrator's order."""

    session_id: str
    subject: str | None
    issuer: str | None = None


class PasswordChanged(ChangeEvent, frozen=True, kw_only=True, gc=False):
    """A user chose another password; every other session of theirs ended."""

    subject: str


class UserChanged(ChangeEvent, frozen=True, kw_only=True, gc=False):
    """A user of ours was changed by an administrator.

    Attributes:
        subject: who.
        what: `added`, `rights`, `password`, `key`, `disabled`, `enabled`, `unlocked` or `removed`.
    """

    subject: str
    what: str


class KeysChanged(ChangeEvent, frozen=True, kw_only=True, gc=False):
    """A signing key of ours was added or removed.

    Attributes:
        key_id: which.
        what: `added` or `removed`.
    """

    key_id: str
    what: str


class BlockChanged(ChangeEvent, frozen=True, kw_only=True, gc=False):
    """Somebody is kept out, or no more.

    Attributes:
        network: an address or network.
        what: `added` or `removed` by order, or `blocked` after too many guesses.
        until: its end in seconds since the epoch; `None`: it has none.
        reason: why, for people.
    """

    network: str
    what: str
    until: float | None = None
    reason: str = ""


class RequestRefused(Event, frozen=True, kw_only=True, gc=False):
    """A request to the HTTP API was refused.

    Attributes:
        code: a key of the refusal table.
        id: what the client was told, to ask for.
        reason: which rule said no and what it saw.
        mend: the configuration line that would change it; may be empty.
        method: of the request.
        path: of the request, without the query.
        address: from where.
    """

    code: str
    id: str
    reason: str
    mend: str
    method: str
    path: str
    address: str


class Measurement(Event, frozen=True, kw_only=True, gc=False):
    """Be how long something took: for the metrics, and in no log.

    Attributes:
        seconds: it took.
    """

    seconds: float


class Verified(Measurement, frozen=True, kw_only=True, gc=False):
    """A credential was judged, good or bad.

    Attributes:
        kind: `token`, `password`, `ticket` or `certificate`.
    """

    kind: str


class Enforced(Measurement, frozen=True, kw_only=True, gc=False):
    """A connection was closed by what the feed said, its close frame with the kernel."""


class Alerted(Measurement, frozen=True, kw_only=True, gc=False):
    """An alert was brought to a webhook, or given up.

    Attributes:
        outcome: `delivered`, or `lost`: the time for it is over, or too many waited.
    """

    outcome: str
