"""Sessions: a login that the server keeps, how long it lives, and the proofs that a client holds of it.

A refresh token and a session cookie have one form, `PREFIX.ID.GENERATION.MAC`. The store keeps the number of the
current generation, never the proof, which only the key file can make: so a successor can be answered again within the
grace without being stored, and a stolen store opens nothing.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from math import inf
from typing import Final, Literal

import msgspec

from wsauth.core.identity import OWN_ISSUER, account_of

__all__ = [
    "COOKIE_PREFIX",
    "REFRESH_PREFIX",
    "Limits",
    "Proof",
    "Session",
    "SessionKind",
    "SignIn",
    "read_proof",
    "write_proof",
]

SessionKind = Literal["tokens", "cookie", "connection"]
"""Held by a refresh token, by a cookie, or by the one connection that was opened with a password."""

REFRESH_PREFIX: Final = "wsr"
COOKIE_PREFIX: Final = "wsc"
_PROOF: Final = re.compile(r"(wsr|wsc)\.([A-Za-z0-9_-]{22,64})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Be one login. Times in seconds since the epoch.

    Attributes:
        id: a handle of 128 random bits or more; it opens nothing.
        subject: the user, in the words of the issuer.
        issuer: who says so.
        kind: what holds it.
        generation: of the proof that is good now.
        generation_at: when that generation began.
        epoch: the user's epoch as of which the session counts.
        created_at: when the person proved who they are.
        refreshed_at: when it was last used to go on.
        address: where the login came from.
        agent: with which program, shortened.
        provider: the entry of `[[issuers]]` by which the person signed in; empty for a user of ours.
        vouched_until: until when the provider's last yes counts; `None` where nobody is asked.
        auth_time: when the person proved to the provider who they are, as it says; `None` where it does not.
        acr: how strongly, in its words; empty where it does not say.
    """

    id: str
    subject: str
    issuer: str = OWN_ISSUER
    kind: SessionKind
    generation: int
    generation_at: float
    epoch: int
    created_at: float
    refreshed_at: float
    address: str = ""
    agent: str = ""
    provider: str = ""
    vouched_until: float | None = None
    auth_time: float | None = None
    acr: str = ""

    @property
    def proved_at(self) -> float | None:
        """Return when the person proved who they are, or `None` where nobody says."""
        return self.auth_time if self.provider else self.created_at

    @property
    def account(self) -> str:
        """Return the name of the account that the session is of."""
        return account_of(self.issuer, self.subject)


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """Be what a provider said when somebody signed in.

    Attributes:
        roles: ours, from its claims through the map.
        session_id: the login there (`sid`), by which it tells of its end; or `None`.
        issued_at: when it said so, in seconds since the epoch, by its own clock.
        seen: the number of the feed's newest row before it was asked: whatever came later may be about this login.
        refresh_token: what asks it again, wrapped; or `None`.
    """

    roles: tuple[str, ...]
    session_id: str | None
    issued_at: float
    seen: int
    refresh_token: bytes | None = None

    def __repr__(self) -> str:
        return f"SignIn(roles={self.roles!r})"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Say how long sessions live, in seconds.

    Attributes:
        access: a lease or an access token (`access_ttl`).
        idle: without a refresh (`refresh_ttl`); a connection's own session is refreshed by its lease.
        absolute: after the login (`session_ttl`).
        grace: in which the proof just used may come again (`refresh_grace`).
    """

    access: float
    idle: float
    absolute: float
    grace: float

    def ends_at(self, session: Session) -> float:
        """Return when the session ends if nothing refreshes it any more."""
        idle = 2 * self.access if session.kind == "connection" else self.idle
        return min(session.refreshed_at + idle, session.created_at + self.absolute)

    def stands_until(self, session: Session) -> float:
        """Return until when the session is good for anything without another yes of its provider."""
        return min(self.ends_at(session), inf if session.vouched_until is None else session.vouched_until)


class Proof(msgspec.Struct, frozen=True):
    """Be what a client holds of a session, taken apart; the MAC is not yet checked.

    Attributes:
        prefix: of a refresh token or of a cookie.
        session_id: whose.
        generation: which.
        tag: the MAC over `message`.
    """

    prefix: str
    session_id: str
    generation: int
    tag: bytes

    def __repr__(self) -> str:
        return f"Proof({self.prefix!r}, {self.session_id!r}, generation={self.generation})"

    @property
    def message(self) -> bytes:
        """Return what the MAC is over."""
        return proof_message(self.prefix, self.session_id, self.generation)


def proof_message(prefix: str, session_id: str, generation: int) -> bytes:
    """Return what the MAC of a proof is over."""
    return f"{prefix}.{session_id}.{generation}".encode()


def write_proof(prefix: str, session_id: str, generation: int, tag: bytes) -> str:
    """Return a refresh token or the value of a session cookie."""
    return f"{prefix}.{session_id}.{generation}.{urlsafe_b64encode(tag).rstrip(b'=').decode()}"


def read_proof(text: str, prefix: str) -> Proof | None:
    """Take apart a refresh token or a cookie's value; `None` when it is none of that prefix."""
    found = _PROOF.fullmatch(text)
    if found is None or found[1] != prefix or (found[3] != "0" and found[3].startswith("0")):
        return None
    tag = urlsafe_b64decode(found[4] + "=")
    if urlsafe_b64encode(tag).rstrip(b"=").decode() != found[4]:
        return None
    return Proof(prefix, found[2], int(found[3]), tag)
