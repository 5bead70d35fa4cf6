"""What an issuer's tokens must look like, as it was configured."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from wsauth.core import units
from wsauth.core.identity import OWN_ISSUER
from wsauth.core.tokens.claims import Expectations
from wsauth.core.tokens.envelope import folded_type
from wsauth.core.tokens.rights import role_map
from wsauth.errors import ConfigurationError

__all__ = ["expectations", "names_in"]

_MAX_LEEWAY: Final = 60.0
"""Seconds."""


def expectations(
    *,
    issuer: object,
    name: str,
    audience: object,
    token_types: str | Sequence[str] = ("JWT",),
    required_claims: Mapping[str, Any] | None = None,
    leeway: str | float = 0.0,
    max_ttl: str | float = 0.0,
    subject_claim: str,
    roles_claim: str,
    permissions_claim: str,
    roles: str | Mapping[str, Any] | None,
) -> Expectations:
    """Return what one issuer's tokens must look like; the words are those of `[[issuers]]`.

    Raises:
        ConfigurationError: something cannot work or would not be safe.
    """
    if name == OWN_ISSUER:
        raise ConfigurationError(f'name: "{OWN_ISSUER}" is the issuer of wsauth\'s own users')
    return Expectations(
        issuer=_issuer(issuer),
        name=name,
        audience=_audience(audience),
        token_types=_token_types(token_types),
        required_claims=dict(required_claims or {}),
        leeway=_leeway(leeway),
        max_ttl=units.seconds(max_ttl, "max_ttl"),
        subject_claim=subject_claim,
        roles_claim=roles_claim,
        permissions_claim=permissions_claim,
        roles=role_map(roles or {}),
    )


def _issuer(issuer: object) -> str | None:
    if issuer is None or issuer is False:
        return None
    if not isinstance(issuer, str) or not issuer:
        raise ConfigurationError('issuer: write the exact `iss`, "https://…", or None (false) to not check it')
    if issuer == OWN_ISSUER:
        raise ConfigurationError(f'issuer: "{OWN_ISSUER}" is the issuer of wsauth\'s own users')
    return issuer


def _audience(audience: object) -> frozenset[str]:
    if audience is None or audience is False:
        return frozenset()
    if not isinstance(audience, Collection) or not audience:
        raise ConfigurationError("audience: write a name, a list of names, or None (false) to not check it")
    return frozenset(names_in(audience, "audience"))


def _token_types(types: str | Sequence[str]) -> frozenset[str]:
    names = names_in(types, "token_types")
    if not names:
        raise ConfigurationError('token_types: write at least one typ; ["at+jwt", "JWT"] is the default')
    return frozenset(folded_type(each) for each in names)


def _leeway(leeway: str | float) -> float:
    value = units.seconds(leeway, "leeway")
    if value > _MAX_LEEWAY:
        raise ConfigurationError(f'leeway = {leeway!r} is more than 60 s: set the clocks right, and write "30s"')
    return value


def names_in(value: Collection[str], name: str) -> tuple[str, ...]:
    """Return a list of names, or one name, as it was configured.

    Raises:
        ConfigurationError: it is neither.
    """
    names = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(each, str) and each for each in names):
        raise ConfigurationError(f"{name}: write a list of names")
    return names
