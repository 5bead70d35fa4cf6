"""The lease: who a connection is, what it may do, and until when. All three always come from one credential."""

from math import inf

import msgspec

from wsauth.core.credentials import Credentials
from wsauth.core.identity import NOBODY, Identity, is_ours
from wsauth.core.permissions import Permissions
from wsauth.core.routes import Policy

__all__ = ["Lease", "grant", "is_older", "is_unchanged", "is_weaker", "warn_at"]

_WARNING: float = 30.0
_WARNING_SHARE: float = 0.15
_WARNING_LEAST: float = 5.0


class Lease(msgspec.Struct, frozen=True, gc=False):
    """Hold who, what and until when.

    Attributes:
        identity: who.
        permissions: what they may do.
        granted_at: seconds since the epoch.
        ends_at: the same; `inf` for never.
        fingerprint: tells the very same credential presented again; not the credential.
    """

    identity: Identity
    permissions: Permissions
    granted_at: float
    ends_at: float
    fingerprint: int

    @property
    def ends(self) -> bool:
        """Tell whether the lease has an end at all."""
        return self.ends_at < inf


def grant(
    identity: Identity,
    permissions: Permissions,
    credentials: Credentials | None,
    policy: Policy,
    *,
    now: float,
    opened_at: float,
) -> Lease:
    """Make the lease that a good credential opens (CONTRACT section 6, "Lease").

    Args:
        identity: whom the credential is; `expires_at` is its own bound.
        permissions: what they may do.
        credentials: what was presented; `None` for nobody.
        policy: the route's rules.
        now: seconds since the epoch.
        opened_at: when the connection began; no lease ends later than `max_connection_age` after it.
    """
    own_end = inf if identity.expires_at is None else identity.expires_at
    if credentials is None:
        fingerprint = 0
    else:
        fingerprint = _fingerprint(credentials)
        if _is_short(identity, credentials):
            own_end = min(own_end, now + policy.access_ttl)
    ends_at = min(own_end, opened_at + policy.max_connection_age)
    return Lease(identity, permissions, now, ends_at, fingerprint)


def _is_short(identity: Identity, credentials: Credentials) -> bool:
    """Tell whether the lease is bounded by `access_ttl`: the credential does not bring the end of an access token.

    A ticket and a password do not, nor do our own session cookie (its end is the session's) and API keys (no end).
    A certificate brings its own end, as somebody else's token does.
    """
    if credentials.kind == "certificate":
        return False
    if credentials.kind != "token":
        return True
    return is_ours(identity) and (credentials.source == "cookie" or identity.expires_at is None)


def is_unchanged(identity: Identity, credentials: Credentials, old: Lease) -> bool:
    """Tell whether a good credential changes nothing: the same token again, or one from before the lease's."""
    if credentials.kind == "token" and _fingerprint(credentials) == old.fingerprint:
        return True
    return old.identity is not NOBODY and is_older(identity, old.identity)


def _fingerprint(credentials: Credentials) -> int:
    return hash((credentials.kind, credentials.secret))


def is_older(new: Identity, old: Identity) -> bool:
    """Tell whether a credential was made before another: by `iat`, else by its end.

    Of our own users the epoch comes first, since it tells "before they logged out everywhere" without a clock; and
    their ends are not compared, since one may be a token's and the other a session's.
    """
    own = is_ours(new)
    epochs = _both(new, old, "epoch") if own else None
    if epochs is not None and epochs[0] != epochs[1]:
        return epochs[0] < epochs[1]
    made = _both(new, old, "iat")
    if made is not None:
        return made[0] < made[1]
    if not own and new.expires_at is not None and old.expires_at is not None:
        return new.expires_at < old.expires_at
    return False


def _both(new: Identity, old: Identity, claim: str) -> tuple[float, float] | None:
    """Return a number that both credentials bring, else `None`."""
    numbers = new.claims.get(claim), old.claims.get(claim)
    if isinstance(numbers[0], int | float) and isinstance(numbers[1], int | float):
        return numbers[0], numbers[1]
    return None


def is_weaker(new: Identity, old: Identity) -> bool:
    """Tell whether a credential proves less than the one the lease came from (SP 800-63B-4 section 5).

    A binding (`cnf`) or a second factor (`amr` with `mfa`) must not be lost; `acr` must be equal, or a larger number,
    or come from a later login, since its names have no order of their own (OpenID Connect Core section 2).
    """
    if "cnf" in old.claims and "cnf" not in new.claims:
        return True
    if _multi_factor(old) and not _multi_factor(new):
        return True
    level, needed = new.claims.get("acr"), old.claims.get("acr")
    if needed is None or level == needed:
        return False
    if isinstance(level, str) and isinstance(needed, str) and level.isdecimal() and needed.isdecimal():
        return int(level) < int(needed)
    later = new.auth_time is not None and old.auth_time is not None and new.auth_time > old.auth_time
    return level is None or not later


def warn_at(lease: Lease) -> float:
    """Return when the client is told that the end is near; the lease's end itself when it is too short for that."""
    length = lease.ends_at - lease.granted_at
    before = max(_WARNING_LEAST, min(_WARNING, _WARNING_SHARE * length))
    return lease.ends_at - before if before < length else lease.ends_at


def _multi_factor(identity: Identity) -> bool:
    methods = identity.claims.get("amr")
    return isinstance(methods, list | tuple) and "mfa" in methods
