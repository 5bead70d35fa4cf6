"""Who appears in the tests of stores, and what they hold."""

from secrets import token_urlsafe

import msgspec

from wsauth.core.sessions import Limits, Session, SessionKind
from wsauth.core.users import User

__all__ = ["LIMITS", "NOW", "alice", "bob", "login", "ticket"]

NOW = 1_800_000_000.0
"""When the tests take place."""

LIMITS = Limits(access=900.0, idle=3600.0, absolute=86_400.0, grace=20.0)


def alice() -> User:
    """Return Alice, before she is added."""
    return User(username="Alice", roles=("owner",), created_at=NOW, password_hash="$argon2id$alice")


def bob() -> User:
    """Return Bob, before he is added."""
    return User(username="bob", roles=("member",), created_at=NOW, password_hash="$argon2id$bob")


def login(user: User, *, kind: SessionKind = "tokens", at: float = NOW, **changes: object) -> Session:
    """Return a new session of a user."""
    session = Session(
        id=token_urlsafe(24),
        subject=user.username,
        kind=kind,
        generation=0,
        generation_at=at,
        epoch=user.epoch,
        created_at=at,
        refreshed_at=at,
        address="192.0.2.1",
        agent="Firefox",
    )
    return msgspec.structs.replace(session, **changes)


def ticket() -> str:
    """Return the id of a new ticket."""
    return token_urlsafe(16)
