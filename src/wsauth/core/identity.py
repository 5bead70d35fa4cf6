"""Who somebody is: the pair (issuer, subject), with what one credential said about it."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, TypedDict, Unpack

__all__ = ["ACCOUNT", "NOBODY", "OWN_ISSUER", "RESERVED", "Identity", "account_of", "is_ours", "token_issuer"]

OWN_ISSUER: Final = "wsauth"
"""The issuer of our own users; nobody else's."""
RESERVED: Final = "wsauth:"
"""How the permissions begin that only a local user's grants give."""
ACCOUNT: Final = "wsauth"
"""The claim of an identity of another issuer for which a session of ours stands; no credential of theirs brings it."""


class Changes(TypedDict, total=False):
    """Be what `Identity.replace` may change."""

    roles: Iterable[str]
    permissions: Iterable[str]
    grants: Iterable[str]
    expires_at: float | None
    session_id: str | None
    token_id: str | None
    auth_time: float | None
    claims: Mapping[str, Any]


class Identity:
    """Hold who somebody is, what they may do and until when, as one credential said it. Frozen.

    Two identities are the same when issuer and subject are both equal (`key`); `handles` are all that a revocation
    may name: the identity, its session, its token.

    Args:
        subject: who, in the words of the issuer.
        issuer: who says so; `wsauth` for our own users.
        roles: names that `Guard(roles=…)` turns into permissions.
        permissions: names held directly; never patterns.
        grants: names that begin with `wsauth:`; only one of our own users holds any.
        expires_at: when this stops being true, in seconds since the epoch; `None` for never.
        session_id: the login behind it, where there is one; a handle that opens nothing.
        token_id: the token's `jti`, where there is one.
        auth_time: when the person last proved who they are, in seconds since the epoch.
        claims: what else the credential said.

    Raises:
        TypeError: a text stands where a list must, or no text where one must.
        ValueError: a grant is somebody else's, or no name that begins with `wsauth:`.
    """

    __slots__ = (
        "auth_time",
        "claims",
        "expires_at",
        "grants",
        "handles",
        "issuer",
        "key",
        "permissions",
        "roles",
        "session_id",
        "subject",
        "token_id",
    )

    subject: str
    issuer: str
    key: tuple[str, str]
    handles: tuple[tuple[str, ...], ...]
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    grants: tuple[str, ...]
    expires_at: float | None
    session_id: str | None
    token_id: str | None
    auth_time: float | None
    claims: Mapping[str, Any]

    def __init__(
        self,
        subject: str,
        *,
        issuer: str,
        roles: Iterable[str] = (),
        permissions: Iterable[str] = (),
        grants: Iterable[str] = (),
        expires_at: float | None = None,
        session_id: str | None = None,
        token_id: str | None = None,
        auth_time: float | None = None,
        claims: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        if not isinstance(subject, str) or not isinstance(issuer, str):
            raise TypeError("an identity's subject and issuer are text")
        if isinstance(roles, str) or isinstance(permissions, str):
            raise TypeError("roles and permissions are lists of names, not one text")
        put = object.__setattr__
        put(self, "subject", subject)
        put(self, "issuer", issuer)
        put(self, "key", (issuer, subject))
        put(self, "roles", tuple(roles))
        put(self, "permissions", tuple(permissions))
        put(self, "grants", _checked(grants, issuer) if grants else ())
        put(self, "expires_at", expires_at)
        put(self, "session_id", session_id)
        put(self, "token_id", token_id)
        put(self, "auth_time", auth_time)
        put(self, "claims", MappingProxyType(dict(claims)))
        put(self, "handles", _handles(self))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an identity is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"an identity is frozen: {name} cannot be removed")

    @property
    def is_authenticated(self) -> bool:
        """Tell somebody from nobody."""
        return self is not NOBODY

    def replace(self, **changes: Unpack[Changes]) -> "Identity":
        """Return the same identity with these parts replaced, such as `roles` and `grants`.

        Raises:
            ValueError: it is nobody, who has nothing to replace.
        """
        if self is NOBODY:
            raise ValueError("nobody cannot be changed into somebody")
        kept: Changes = {
            "roles": self.roles,
            "permissions": self.permissions,
            "grants": self.grants,
            "expires_at": self.expires_at,
            "session_id": self.session_id,
            "token_id": self.token_id,
            "auth_time": self.auth_time,
            "claims": self.claims,
        }
        kept.update(changes)
        return Identity(self.subject, issuer=self.issuer, **kept)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Identity):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return f"{self.subject} ({self.issuer})"

    def __repr__(self) -> str:
        return f"Identity({self.subject!r}, issuer={self.issuer!r}, roles={self.roles!r})"


def _checked(grants: Iterable[str], issuer: str) -> tuple[str, ...]:
    if isinstance(grants, str):
        raise TypeError("grants are a list of names, not one text")
    names = tuple(grants)
    if names and issuer != OWN_ISSUER:
        raise ValueError(f"only a user of {OWN_ISSUER!r} holds grants, and not one of {issuer!r}")
    for name in names:
        if not name.startswith(RESERVED) or "*" in name or "" in name.split(":"):
            raise ValueError(f"{name!r} is no grant: a grant is a name that begins with {RESERVED}, without *")
    return names


def _handles(identity: Identity) -> tuple[tuple[str, ...], ...]:
    handles: list[tuple[str, ...]] = [identity.key]
    if identity.session_id is not None:
        handles.append(("session", identity.session_id, ""))
    if identity.token_id is not None:
        handles.append(("token", token_issuer(identity), identity.token_id))
    return tuple(handles)


def is_ours(identity: Identity) -> bool:
    """Tell whether we keep an account of it: it is a user of ours, or signed in here with another issuer's login."""
    return identity.issuer == OWN_ISSUER or ACCOUNT in identity.claims


def token_issuer(identity: Identity) -> str:
    """Return who has issued the token of an identity: for accounts that is we, whoever says who they are."""
    return OWN_ISSUER if is_ours(identity) else identity.issuer


def account_of(issuer: str, subject: str) -> str:
    """Return the name of an account: a user's own, and for another issuer's subject one that no user can have."""
    if issuer == OWN_ISSUER:
        return subject
    return f"account:{sha256(json.dumps([issuer, subject]).encode()).hexdigest()}"


NOBODY = Identity("", issuer="", roles=("anonymous",))
"""Whoever connects to an anonymous route without credentials."""
