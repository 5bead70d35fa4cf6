"""Accounts: our own users, and who signed in here with another issuer's login; and how names are compared."""

import unicodedata
from typing import Final

import msgspec

from wsauth.core.identity import OWN_ISSUER, Identity
from wsauth.errors import ConfigurationError, Refused

__all__ = ["UNVOUCHED", "USERNAME_LIMIT", "User", "check_username", "demands", "fold", "held_back"]

UNVOUCHED: Final = "unvouched"
"""The claim of who signed in with a provider that does not answer: why it does not, as a `Refused`."""
USERNAME_LIMIT: Final = 64
"""Characters of a username."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Be one user of ours, or the account of somebody else's: by issuer and subject, never by e-mail (ASVS 6.8.1).

    Attributes:
        username: as it was added; the identity's subject. Another issuer's subject has the name of `account_of`.
        issuer: who says so.
        foreign_subject: who, in the words of another issuer; empty for a user of ours.
        roles: names that `[roles]` turns into permissions.
        grants: permissions that begin with `wsauth:`; nothing else gives them.
        epoch: grows with everything that ends all logins; a credential of an earlier epoch is dead.
        disabled: may not come in.
        service: comes by API key, never by password.
        created_at: seconds since the epoch.
        password_hash: Argon2id or bcrypt, or empty; never shown.
        password_until: an unused first password is good until then, in seconds since the epoch; `None` for ever.
        must_change: an administrator has reset the password: it is good for choosing another one.
    """

    username: str
    issuer: str = OWN_ISSUER
    foreign_subject: str = ""
    roles: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    epoch: int = 0
    disabled: bool = False
    service: bool = False
    created_at: float = 0.0
    password_hash: str = ""
    password_until: float | None = None
    must_change: bool = False

    @property
    def subject(self) -> str:
        """Return who, in the words of the issuer."""
        return self.username if self.issuer == OWN_ISSUER else self.foreign_subject

    def __repr__(self) -> str:
        return f"User({self.username!r}, roles={self.roles!r}, grants={self.grants!r}, disabled={self.disabled!r})"


def fold(username: str) -> str:
    """Return the form in which names are compared: `Alice` and `alice` are one user (RFC 8265 section 3.3)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())


def check_username(username: str) -> str:
    """Return the name when a user may have it.

    Raises:
        ConfigurationError: it is empty, too long, or holds what cannot be seen or typed.
    """
    if not 0 < len(username) <= USERNAME_LIMIT:
        raise ConfigurationError(f"a username has 1 to {USERNAME_LIMIT} characters")
    if username != username.strip() or not username.isprintable() or unicodedata.normalize("NFC", username) != username:
        raise ConfigurationError(f"username {username!r}: leave out blanks at the ends and unprintable characters")
    return username


def demands(user: User) -> dict[str, bool]:
    """Return the claims of every identity of a user that keep them from more than they may do now."""
    return {"must_change": True} if user.must_change else {}


def held_back(identity: Identity) -> Refused | None:
    """Return why somebody may do nothing but choose another password, or log out, or `None`."""
    silent = identity.claims.get(UNVOUCHED)
    if isinstance(silent, Refused):
        return silent.as_value()
    if "must_change" not in identity.claims or identity.issuer != OWN_ISSUER:
        return None
    why = f"an administrator has reset the password of {identity}: PUT /auth/password with another one, then refresh"
    return Refused("password_change_required", why)
