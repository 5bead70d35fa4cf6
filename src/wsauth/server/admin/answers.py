"""What the admin API answers, as its OpenAPI document says it. Times in seconds since the epoch."""

from typing import Any, Literal, Self

from pydantic import BaseModel

from wsauth.core.sessions import Limits
from wsauth.core.sessions import Session as StoredSession
from wsauth.core.users import User as StoredUser
from wsauth.interfaces.feed import Listed
from wsauth.services.connections.connections import Report as Reported

__all__ = ["AddedUser", "ChangedUser", "Connection", "Ended", "Key", "Nodes", "Report", "Session", "User"]


class Nodes(BaseModel):
    """Count the processes that an order was given to."""

    live: int
    answered: int
    silent: int


class Report(BaseModel):
    """Say what an order did. It is complete when every connection is closed or cut in every process."""

    id: str
    matched: int
    closed: int
    cut: int
    nodes: Nodes
    complete: bool
    slowest_ms: float

    @classmethod
    def of(cls, report: Reported) -> Self:
        """Return the answer."""
        nodes = report.nodes
        return cls(
            id=report.id,
            matched=report.matched,
            closed=report.closed,
            cut=report.cut,
            nodes=Nodes(live=nodes.live, answered=nodes.answered, silent=nodes.silent),
            complete=report.complete,
            slowest_ms=round(report.slowest * 1000, 1),
        )


class Ended(BaseModel):
    """Say what was closed with something that has ended."""

    report: Report


class User(BaseModel):
    """Be a user. With `password_until` a first password waits to be used until then; with
    `must_change` they have to choose another one before anything else.
    """

    username: str
    roles: list[str]
    grants: list[str]
    disabled: bool
    service: bool
    created_at: float
    password_until: float | None
    must_change: bool

    @classmethod
    def of(cls, user: StoredUser, **more: Any) -> Self:
        """Return the answer; hashes stay where they are."""
        return cls(
            username=user.username,
            roles=list(user.roles),
            grants=list(user.grants),
            disabled=user.disabled,
            service=user.service,
            created_at=user.created_at,
            password_until=user.password_until,
            must_change=user.must_change,
            **more,
        )


class AddedUser(User):
    """Be a new user, with what they come in by: shown once, and kept nowhere."""

    password: str | None = None
    api_key: str | None = None


class ChangedUser(AddedUser):
    """Be a changed user; with a report where the change ended their logins."""

    report: Report | None = None


class Session(BaseModel):
    """Be a login."""

    id: str
    issuer: str
    subject: str
    kind: str
    created_at: float
    refreshed_at: float
    expires_at: float
    address: str
    agent: str

    @classmethod
    def of(cls, session: StoredSession, limits: Limits) -> Self:
        """Return the answer."""
        return cls(
            id=session.id,
            issuer=session.issuer,
            subject=session.subject,
            kind=session.kind,
            created_at=session.created_at,
            refreshed_at=session.refreshed_at,
            expires_at=limits.ends_at(session),
            address=session.address,
            agent=session.agent,
        )


class Connection(BaseModel):
    """Be an open connection, and the process that holds it."""

    id: str
    node: str
    issuer: str
    subject: str
    session_id: str | None
    path: str
    address: str
    opened_at: float
    expires_at: float | None

    @classmethod
    def of(cls, listed: Listed) -> Self:
        """Return the answer."""
        return cls(**{name: getattr(listed, name) for name in cls.model_fields})


class Key(BaseModel):
    """Be a signing key: its public half, as a JWK (RFC 7517); null where all of it is secret."""

    kid: str
    algorithm: str
    created_at: float
    signs_from: float
    state: Literal["published", "signing", "verifying"]
    jwk: dict[str, Any] | None
