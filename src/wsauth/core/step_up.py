"""Whether a login is recent and strong enough for what is about to be done (RFC 9470, ASVS 6.8.4)."""

from collections.abc import Collection

from wsauth.core.identity import Identity
from wsauth.errors import StepUpRequired

__all__ = ["check_login"]


def check_login(identity: Identity, now: float, *, max_age: float | None = None, acr: Collection[str] = ()) -> None:
    """Go on only if somebody has proved lately, and strongly enough, who they are.

    What a credential does not say counts as the least: no time of the login as one of long ago, no `acr` as none.

    Args:
        identity: who.
        now: seconds since the epoch.
        max_age: seconds since the login, at most; `None`: it may be of any age.
        acr: the strengths of which one will do (OpenID Connect Core section 2, `acr`); empty: any.

    Raises:
        StepUpRequired: they have not.
        TypeError: `acr` is one text, in which every part of it would be found.
    """
    if isinstance(acr, str):
        raise TypeError(f'acr is a list of names: write acr=["{acr}"]')
    needed = []
    if max_age is not None and not _is_recent(identity.auth_time, now, max_age):
        needed.append(f"max_age={max_age:g}")
    if acr and identity.claims.get("acr") not in acr:
        needed.append(f"acr_values={' '.join(acr)}")
    if needed:
        raise StepUpRequired(", ".join(needed))


def _is_recent(auth_time: float | None, now: float, max_age: float) -> bool:
    return auth_time is not None and now - auth_time <= max_age
