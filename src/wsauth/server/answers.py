"""What the HTTP API answers, as its OpenAPI document says it."""

from pydantic import BaseModel

__all__ = ["LoggedIn", "LoggedOut", "Me", "MyConnection", "MySession", "MySessions", "Problem", "SignedIn", "Ticket"]


class Problem(BaseModel):
    """Be a refusal (RFC 9457)."""

    status: int
    title: str
    detail: str
    code: str
    action: str
    id: str
    retry_after: int | None = None
    reasons: list[str] | None = None


class SignedIn(BaseModel):
    """Be a login whose session is in the cookie."""

    csrf_token: str
    expires_in: int
    session_id: str
    issuer: str
    subject: str
    roles: list[str]
    permissions: list[str]


class LoggedIn(BaseModel):
    """Be a login whose session is in the tokens."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    session_id: str
    issuer: str
    subject: str
    roles: list[str]
    permissions: list[str]


class LoggedOut(BaseModel):
    """Be a log-out; `logout_url` is where the browser may log out of the provider too, null where there is no way."""

    logout_url: str | None


class Ticket(BaseModel):
    """Be a single-use ticket."""

    ticket: str
    expires_in: int


class Me(BaseModel):
    """Be who the caller is; times in seconds."""

    issuer: str
    subject: str
    session_id: str | None
    roles: list[str]
    permissions: list[str]
    expires_in: int | None
    csrf_token: str | None = None


class MyConnection(BaseModel):
    """Be an open connection of the caller's; times in seconds since the epoch."""

    id: str
    path: str
    address: str
    opened_at: float
    expires_at: float | None
    session_id: str | None


class MySession(BaseModel):
    """Be a login of the caller's; times in seconds since the epoch."""

    session_id: str
    kind: str
    current: bool
    created_at: float
    refreshed_at: float
    expires_at: float
    address: str
    agent: str
    connections: list[MyConnection]


class MySessions(BaseModel):
    """Be the caller's logins, and the open connections that belong to none of them."""

    items: list[MySession]
    connections: list[MyConnection]
