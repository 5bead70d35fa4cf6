"""Assertions: what an upstream is told about a connection, signed, so that it need not believe who dials it.

An assertion is for one upstream and one connection, lives for a minute at most, and opens nothing here: its `typ` is
none that any credential has.
"""

import secrets
from math import floor, inf
from typing import Any, Final

from wsauth.core.identity import NOBODY, Identity
from wsauth.core.permissions import Permissions
from wsauth.interfaces.clock import Clock
from wsauth.services.signing import SigningKeys

__all__ = ["ASSERTION_TYPE", "LIFETIME", "LONGEST", "Assertions"]

ASSERTION_TYPE: Final = "wsauth-assertion+jwt"
"""`typ` of an assertion (RFC 8725 section 3.11)."""
LIFETIME: Final = 60
"""Seconds that an assertion lives at most."""
LONGEST: Final = 6144
"""Characters of an assertion: many servers read no header line over 8 KiB."""
_SHEDDING: Final = ("permissions", "roles")
"""The claims that are left out where the assertion would be too long, in this order."""
_UNVERIFIABLE: Final = "eyJhbGciOiJI"
"""How a JWS begins whose algorithm begins with H: `{"alg":"H`."""


class Assertions:
    """Sign what upstreams are told.

    Args:
        keys: sign.
        issuer: `iss`.
        clock: tells the time.
    """

    def __init__(self, keys: SigningKeys, issuer: str, clock: Clock) -> None:
        self._keys = keys
        self._issuer = issuer
        self._clock = clock

    def sign(self, identity: Identity, permissions: Permissions, *, audience: str, connection_id: str) -> str | None:
        """Return the JWT for one upstream about one connection; sign it when the handshake is sent, and only then.

        There is none where our keys are secrets (HS256), with which nobody else can verify, and where who it is cannot
        be written: too long, or no Unicode text. Left out, it would make the assertion speak of nobody.

        Args:
            identity: who; nobody has neither `sub` nor `issuer`.
            permissions: what they may do.
            audience: the upstream's URL, `aud`.
            connection_id: `cid`.

        Raises:
            Refused: `unavailable`: there is no key that signs.
        """
        claims = self._claims(identity, permissions, audience, connection_id)
        try:
            return self._fitting(claims)
        except UnicodeEncodeError:
            return None

    def _fitting(self, claims: dict[str, Any]) -> str | None:
        assertion = self._keys.sign(ASSERTION_TYPE, claims)
        if assertion.startswith(_UNVERIFIABLE):
            return None
        truncated: list[str] = []
        for name in _SHEDDING:
            if len(assertion) <= LONGEST:
                return assertion
            del claims[name]
            truncated.append(name)
            assertion = self._keys.sign(ASSERTION_TYPE, {**claims, "truncated": truncated})
        return assertion if len(assertion) <= LONGEST else None

    def _claims(
        self, identity: Identity, permissions: Permissions, audience: str, connection_id: str
    ) -> dict[str, Any]:
        # Whole seconds, since not every library reads others; rounded down, so that none is later than it may be.
        now = floor(self._clock.now())
        ends_at = inf if identity.expires_at is None else identity.expires_at
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": audience,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": floor(min(now + LIFETIME, ends_at)),
            "cid": connection_id,
            "roles": identity.roles,
            "permissions": permissions.names,
        }
        if identity is not NOBODY:
            claims |= {"sub": identity.subject, "issuer": identity.issuer}
        if identity.session_id is not None:
            claims["sid"] = identity.session_id
        return claims
