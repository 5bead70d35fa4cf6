"""What a good token must claim: exact types, the right issuer, audience and type, and a time that is now.

With `now` and `leeway` in seconds, a token is valid while `now < exp + leeway`, once `nbf <= now + leeway`
and `iat <= now + leeway`, and when it was made to live (`exp - iat`, without `iat` `exp - now`) for at most
`max_ttl`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wsauth.core.identity import ACCOUNT, Identity
from wsauth.core.tokens.envelope import Envelope, shown
from wsauth.core.tokens.rights import RoleMap, at, permissions_in, roles_in
from wsauth.errors import Refused

__all__ = ["Expectations", "check_required", "identify", "identify_answer"]

_LATEST: Final = 253402300800  # the year 10000; a time in milliseconds is beyond it
_CLIENTS: Final = ("client_id", "cid", "azp")
"""Where a token says for which client it was made (RFC 9068 section 2.2, Okta, OpenID Connect)."""
_SOMEBODY_ELSES: Final = ("events", "cnf")
"""A security event or logout token (RFC 8417 §2.2); a token bound to a key that its bearer must show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """Hold what one issuer's tokens must look like; the words are those of `[[issuers]]`.

    Attributes:
        issuer: the exact `iss`, or `None` for not checked; then `name` is the identities' issuer.
        audience: one of these must be in `aud`; empty for not checked.
        token_types: folded `typ` values (`folded_type`).
        leeway, max_ttl: seconds; a `max_ttl` of 0 is no limit.
    """

    issuer: str | None
    name: str
    audience: frozenset[str]
    token_types: frozenset[str]
    required_claims: Mapping[str, Any]
    leeway: float
    max_ttl: float
    subject_claim: str
    roles_claim: str
    permissions_claim: str
    roles: RoleMap


def identify(envelope: Envelope, expected: Expectations, now: float) -> Identity:
    """Return who a token with a good signature speaks of.

    Raises:
        Refused: `token_expired` when the only thing wrong with it is its age, else `token_invalid`.
    """
    _check_type(envelope, expected)
    if "exp" not in envelope.claims:
        raise _invalid("the token has no exp: a token that never ends is not accepted")
    return _identity(envelope.claims, expected, now)


def identify_answer(claims: Mapping[str, Any], expected: Expectations, now: float) -> Identity:
    """Return who the issuer says an active token speaks of (RFC 7662 section 2.2).

    `iss` and `exp` may be missing in the answer: it is the issuer's own, and it will be asked again. The audience may
    not, where one is expected.

    Raises:
        Refused: as `identify`.
    """
    if expected.issuer is not None and "iss" not in claims:
        claims = {**claims, "iss": expected.issuer}
    identity = _identity(claims, expected, now)
    # What it says ends when it says: leeway is for clocks that sign and read apart.
    return identity if identity.expires_at is None else identity.replace(expires_at=float(claims["exp"]))


def _identity(claims: Mapping[str, Any], expected: Expectations, now: float) -> Identity:
    _check_bound(claims, expected)
    _check_parties(claims, expected)
    check_required(claims, expected.required_claims)
    subject = at(claims, expected.subject_claim)
    if not isinstance(subject, str) or not subject:
        raise _invalid(f"the token's {expected.subject_claim} is not a text, or empty")
    session, token_id = claims.get("sid"), claims.get("jti", "")
    if not isinstance(token_id, str):
        raise _invalid("the token's jti is not a text, so it could not be revoked")
    auth_time = _moment(claims, "auth_time")
    expires = _check_time(claims, expected, now)
    if any(claims.get(name) == subject for name in _CLIENTS):
        # A client acts for itself: it may be named like a user and is none (RFC 9068 section 5, RFC 9700 section 4.15).
        subject = f"client:{subject}"
    return Identity(
        subject,
        issuer=expected.name if expected.issuer is None else expected.issuer,
        roles=roles_in(claims, expected.roles_claim, expected.roles),
        permissions=permissions_in(claims, expected.permissions_claim),
        expires_at=expires,
        session_id=session if isinstance(session, str) and session else None,
        token_id=token_id or None,
        auth_time=auth_time,
        claims={name: value for name, value in claims.items() if name != ACCOUNT} if ACCOUNT in claims else claims,
    )


def _check_type(envelope: Envelope, expected: Expectations) -> None:
    if envelope.type not in expected.token_types:
        raise _invalid(f"the token's typ is {shown(envelope.type)}, which is not in token_types")


def _check_bound(claims: Mapping[str, Any], expected: Expectations) -> None:
    for name in _SOMEBODY_ELSES:
        if name in claims and name not in expected.required_claims:
            raise _invalid(f"the token has {name!r}: it is not a bearer's access token")


def _check_parties(claims: Mapping[str, Any], expected: Expectations) -> None:
    issuer = claims.get("iss")
    if expected.issuer is not None and issuer != expected.issuer:
        raise _invalid(f"the token's iss is {shown(issuer)}, and not the configured issuer")
    if "iss" in claims and not isinstance(issuer, str):
        raise _invalid("the token's iss is not a text")
    if not expected.audience:
        return
    audience = claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise _invalid("the token's aud is missing, or not a text or a list of texts")
    if expected.audience.isdisjoint(listed):
        raise _invalid("the token is for another audience")


def check_required(claims: Mapping[str, Any], required: Mapping[str, Any]) -> None:
    """Go on only if each claim, or what a dotted path leads to, has its value, or one of several.

    Raises:
        Refused: `token_invalid`.
    """
    for path, wanted in required.items():
        value = at(claims, path)
        choices = wanted if isinstance(wanted, list | tuple) else (wanted,)
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise _invalid(f"the {path} is not what required_claims asks for")


def _check_time(claims: Mapping[str, Any], expected: Expectations, now: float) -> float | None:
    expires = _moment(claims, "exp")
    issued = _moment(claims, "iat")
    for name, moment in (("nbf", _moment(claims, "nbf")), ("iat", issued)):
        if moment is not None and moment > now + expected.leeway:
            raise _invalid(f"the token's {name} is in the future, by more than the leeway")
    if expires is None:
        return None
    if expected.max_ttl and expires - (now if issued is None else issued) > expected.max_ttl:
        raise Refused(
            "token_invalid",
            "the token lives longer than max_ttl",
            mend="max_ttl of this issuer, or shorter tokens",
        )
    if now >= expires + expected.leeway:
        raise Refused("token_expired", "the token's exp is past")
    return expires + expected.leeway


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate (RFC 7519 §2) or `None` where there is none; exact types, within sane bounds."""
    if name not in claims:
        return None
    value = claims[name]
    # A truth is an int to `isinstance`; and what is no number is not between any two.
    if type(value) not in (int, float) or not 0 <= value < _LATEST:
        raise _invalid(f"the token's {name} is not a time in seconds since 1970")
    return float(value)


def _invalid(reason: str) -> Refused:
    return Refused("token_invalid", reason)
