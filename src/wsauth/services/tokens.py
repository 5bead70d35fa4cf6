"""Access tokens of our own: short, signed, with the user's epoch, so that they are checked without the store."""

import secrets
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from wsauth.core.feed import KEPT
from wsauth.core.identity import ACCOUNT, OWN_ISSUER, Identity
from wsauth.core.sessions import Session
from wsauth.core.tokens.envelope import open_envelope
from wsauth.core.tokens.verified import LIFETIME, VerifiedTokens
from wsauth.core.users import User
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.clock import Clock
from wsauth.services.signing import SigningKeys

__all__ = ["ACCESS_TYPE", "AccessTokens"]

ACCESS_TYPE: Final = "at+jwt"
"""`typ` of an access token (RFC 9068 section 2.1)."""


class _Claims(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Be the claims of an access token, each of exactly its type.

    Of another issuer's subject `sub` is the name of the account, which no user of ours can have, and `idp` and
    `idp_sub` say who that is.
    """

    iss: str
    aud: str
    sub: str
    jti: str
    iat: float
    exp: float
    client_id: str = ""
    roles: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    sid: str | None = None
    epoch: int | None = None
    auth_time: float | None = None
    acr: str = ""
    fixed: bool = False
    must_change: bool = False
    idp: str = ""
    idp_sub: str = ""


class AccessTokens:
    """Issue and verify access tokens.

    A token is ours when one of our keys signed it. Its `iss` is for others: servers on one store are reached by
    several addresses, and what one of them issues is good at all.

    Args:
        keys: sign and verify.
        issuer: `iss` of what is issued.
        audience: `aud`.
        ttl: seconds that a token lives.
        clock: tells the time.
    """

    def __init__(self, keys: SigningKeys, issuer: str, audience: str, ttl: float, clock: Clock) -> None:
        self.issuer = issuer
        self.ttl = ttl
        self._keys = keys
        self._audience = audience
        self._clock = clock
        self._verified = VerifiedTokens()
        keys.on_removed = self.forget

    def issue(self, user: User, session: Session, until: float) -> tuple[str, float]:
        """Return a token for a session and when it ends: after `ttl`, never after the session's own end, `until`."""
        now = self._clock.now()
        expires_at = min(now + self.ttl, until)
        claims = _Claims(
            iss=self.issuer,
            aud=self._audience,
            client_id=OWN_ISSUER,
            sub=user.username,
            jti=secrets.token_urlsafe(16),
            iat=now,
            exp=expires_at,
            roles=user.roles,
            grants=user.grants,
            sid=session.id,
            epoch=user.epoch,
            auth_time=session.proved_at,
            acr=session.acr,
            must_change=user.must_change,
            idp="" if user.issuer == OWN_ISSUER else user.issuer,
            idp_sub=user.foreign_subject,
        )
        return self._sign(claims), expires_at

    def issue_by_hand(
        self, subject: str, *, ttl: float, roles: Iterable[str] | None = None, user: User | None = None
    ) -> str:
        """Return a token without a session, for a script or a test.

        Args:
            subject: whose.
            ttl: seconds, at most a day: so long revocations are kept.
            roles: instead of the user's own; they then stay as they are given.
            user: the user of ours of that name, if there is one: the token dies with their logins.

        Raises:
            ConfigurationError: it would live too long.
            Refused: `conflict`: the user is disabled.
        """
        if not 0 < ttl <= KEPT:
            raise ConfigurationError(f"a token lives more than 0 s and at most {KEPT / 3600:.0f} h")
        if user is not None and user.disabled:
            raise Refused("conflict", f"{user.username} is disabled")
        now = self._clock.now()
        own = user.roles if user is not None else ()
        claims = _Claims(
            iss=self.issuer,
            aud=self._audience,
            client_id=OWN_ISSUER,
            sub=subject if user is None else user.username,
            jti=secrets.token_urlsafe(16),
            iat=now,
            exp=now + ttl,
            roles=own if roles is None else tuple(roles),
            grants=user.grants if user is not None and roles is None else (),
            epoch=None if user is None else user.epoch,
            fixed=roles is not None,
        )
        return self._sign(claims)

    def recall(self, token: str) -> Identity | None:
        """Return whose token it is when it was found good a moment ago."""
        return self._verified.get(token, self._clock.now())

    def verify(self, token: str) -> Identity | None:
        """Return whose token it is, or `None` when it is not one of ours.

        Raises:
            Refused: `token_invalid` or `token_expired`.
        """
        known = self.recall(token)
        if known is not None:
            return known
        envelope = open_envelope(token)
        if envelope is None or not (self._keys.has(envelope.key_id) or envelope.claims.get("iss") == self.issuer):
            return None
        if envelope.type != ACCESS_TYPE:
            raise Refused("token_invalid", "the token is one of ours, but no access token")
        key = self._keys.verifying(envelope.algorithm, envelope.key_id)
        key.verify(envelope.algorithm, envelope.signed, envelope.signature)
        now = self._clock.now()
        claims = self._checked(envelope.claims, now)
        identity = _identity(claims)
        self._verified.put(token, identity, min(now + LIFETIME, claims.exp))
        return identity

    def forget(self) -> None:
        """Verify everything anew: a key was removed."""
        self._verified.clear()

    def _checked(self, raw: dict[str, Any], now: float) -> _Claims:
        try:
            claims = msgspec.convert(raw, _Claims)
        except msgspec.ValidationError:
            raise Refused("token_invalid", "the token's claims are not those of an access token of ours") from None
        if claims.aud != self._audience:
            raise Refused("token_invalid", "the token is for another audience", mend="tokens.audience")
        if now >= claims.exp:
            raise Refused("token_expired", "the token's exp is past")
        return claims

    def _sign(self, claims: _Claims) -> str:
        return self._keys.sign(ACCESS_TYPE, msgspec.to_builtins(claims))


def _identity(claims: _Claims) -> Identity:
    extra: dict[str, Any] = {"iat": claims.iat}
    if claims.epoch is not None:
        extra["epoch"] = claims.epoch
    if claims.fixed:
        extra["fixed"] = True
    if claims.must_change:
        extra["must_change"] = True
    if claims.acr:
        extra["acr"] = claims.acr
    if claims.idp:
        extra[ACCOUNT] = True
    return Identity(
        claims.idp_sub if claims.idp else claims.sub,
        issuer=claims.idp or OWN_ISSUER,
        roles=claims.roles,
        grants=claims.grants,
        expires_at=claims.exp,
        session_id=claims.sid,
        token_id=claims.jti,
        auth_time=claims.auth_time,
        claims=extra,
    )
