"""What a logout token must say (OpenID Connect Back-Channel Logout 1.0, section 2.4 and 2.6)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from wsauth.core.tokens.envelope import Envelope
from wsauth.errors import Refused

__all__ = ["Logout", "read_logout"]

_TYPE: Final = "logout+jwt"
_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_OLDEST: Final = 120.0
"""Seconds since it was made, at most: a log-out is told at once."""


class Logout(msgspec.Struct, frozen=True):
    """Say whose login has ended.

    Attributes:
        token_id: the token's, good once.
        issued_at: seconds since the epoch; what was issued later is another login's.
        subject: whose, or `None`.
        session_id: which session, or `None`: all of the subject's.
    """

    token_id: str
    issued_at: float
    subject: str | None
    session_id: str | None


def read_logout(envelope: Envelope, *, client_id: str, leeway: float, now: float) -> Logout:
    """Return what a token says whose issuer and signature are good.

    Args:
        envelope: the token.
        client_id: ours.
        leeway: how far clocks may differ, in seconds.
        now: seconds since the epoch.

    Raises:
        Refused: `token_invalid`: it is no logout token, none for us, or not of now.
    """
    claims = envelope.claims
    if envelope.type != _TYPE:
        raise _invalid(f"its typ is not {_TYPE}")
    audience = claims.get("aud")
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        raise _invalid("it is for another audience")
    if "nonce" in claims:
        raise _invalid("it has a nonce: it may be an ID token")
    events = claims.get("events")
    if not isinstance(events, Mapping) or not isinstance(events.get(_EVENT), Mapping):
        raise _invalid(f"its events do not have {_EVENT}")
    issued_at, expires = _moment(claims, "iat"), _moment(claims, "exp")
    if not now - _OLDEST - leeway <= issued_at <= now + leeway or now >= expires + leeway:
        raise _invalid("it is not of now")
    token_id, subject, session_id = _text(claims, "jti"), _text(claims, "sub"), _text(claims, "sid")
    if token_id is None:
        raise _invalid("it has no jti")
    if subject is None and session_id is None:
        raise _invalid("it has neither sub nor sid")
    return Logout(token_id, issued_at, subject, session_id)


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(f"its {name} is missing, or no time")
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if name in claims and (not isinstance(value, str) or not value):
        raise _invalid(f"its {name} is not a text, or empty")
    return value


def _invalid(reason: str) -> Refused:
    return Refused("token_invalid", f"the logout token is not good: {reason}")
