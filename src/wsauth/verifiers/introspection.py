"""Judge opaque tokens by asking the server that issued them (RFC 7662)."""

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from math import inf
from typing import Any, Final, Literal

from wsauth.core import units
from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.core.tokens.claims import identify_answer
from wsauth.core.tokens.envelope import open_envelope
from wsauth.core.tokens.expecting import expectations
from wsauth.core.tokens.strict_json import load_object
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.clock import Clock
from wsauth.services.asking import Answers, Endpoint, client_authentication, is_askable
from wsauth.services.clock import SystemClock
from wsauth.services.keys.documents import check_url

__all__ = ["IntrospectionVerifier"]

_DOTS: Final = 2


class IntrospectionVerifier:
    """Judge the opaque tokens of one issuer, and ask about them again while a connection stands on them.

    It is asked about every token that no verifier before it takes. An answer is kept for five seconds at most.

    Args:
        issuer: who says so; an answer that names another is refused. `None`: it is not checked, and `name` stands for
            the issuer in the identities.
        audience: what `aud` of the answer must have, or several of which it must have one. `None`: it is not checked.
        url: the introspection endpoint; https, or http on this machine.
        client_id: ours, at that server.
        client_secret: the same.
        client_auth: how they are sent: `basic` or `post` (RFC 6749 section 2.3.1).
        recheck: how long a connection may stand on an answer.
        required_claims, leeway, max_ttl, subject_claim, roles_claim, permissions_claim, roles, cookie, name: as
            `JWTVerifier` has them.
        clock: what time it is.

    Raises:
        ConfigurationError: something cannot work or would not be safe.
    """

    def __init__(
        self,
        *,
        issuer: str | None,
        audience: str | Sequence[str] | None,
        url: str,
        client_id: str,
        client_secret: str,
        client_auth: Literal["basic", "post"] = "basic",
        recheck: str | float = "5m",
        required_claims: Mapping[str, Any] | None = None,
        leeway: str | float = "30s",
        max_ttl: str | float = "24h",
        subject_claim: str = "sub",
        roles_claim: str = "roles",
        permissions_claim: str = "scope",
        roles: str | Mapping[str, Any] | None = None,
        cookie: str = "",
        name: str = "",
        clock: Clock | None = None,
    ) -> None:
        if not client_id or not client_secret:
            raise ConfigurationError("client_id and client_secret: an introspection endpoint must know who asks")
        self.clock: Clock = SystemClock() if clock is None else clock
        self.cookie = cookie
        self._recheck = units.needed(recheck, "recheck")
        self._expected = expectations(
            issuer=issuer,
            name=name or "introspection",
            audience=audience,
            required_claims=required_claims,
            leeway=leeway,
            max_ttl=max_ttl,
            subject_claim=subject_claim,
            roles_claim=roles_claim,
            permissions_claim=permissions_claim,
            roles=roles,
        )
        self.issuer, self.name = self._expected.issuer, self._expected.name
        self.leeway, self.max_ttl = self._expected.leeway, self._expected.max_ttl
        self._endpoint = Endpoint(check_url(url, "url"), self.clock)
        self._answers = Answers(self.clock, self._recheck / 2)
        self._headers, self._form = client_authentication(client_auth, client_id, client_secret)

    def __repr__(self) -> str:
        return f"IntrospectionVerifier(url={self._endpoint.url!r})"

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return whose the token is, or `None` when it is no token of this issuer's that is active.

        Raises:
            Refused: `token_invalid`, `token_expired`, or `unavailable`: nobody answers.
        """
        if not is_askable(credentials, self.cookie) or self._is_anothers(credentials.secret):
            return None
        return await self._answers.get(credentials.secret, partial(self._ask, credentials.secret))

    async def recheck(self, credentials: Credentials) -> Identity:
        """Return whose the token is now.

        Raises:
            Refused: `token_revoked`: it is active no more; else as `verify`.
        """
        secret = credentials.secret
        identity = await self._answers.get(secret, partial(self._ask, secret), fresh=True)
        if identity is None:
            raise Refused("token_revoked", f"{self._endpoint.url} says that the token is active no more")
        return identity

    async def aclose(self) -> None:
        """Ask no more."""
        await self._answers.aclose()
        await self._endpoint.aclose()

    def _is_anothers(self, token: str) -> bool:
        """Tell whether it is a JWT that names another issuer, whose tokens are nothing to ask this one about."""
        if self.issuer is None or token.count(".") != _DOTS:
            return False
        envelope = open_envelope(token)
        return envelope is not None and envelope.claims.get("iss", self.issuer) != self.issuer

    async def _ask(self, token: str) -> Identity | None:
        form = {"token": token, "token_type_hint": "access_token", **self._form}
        status, body = await self._endpoint.ask("POST", self._headers, form)
        if status != HTTPStatus.OK:
            raise self._endpoint.unusable(f"status {status}{_HINTS.get(status, '')}")
        try:
            answer = load_object(body)
        except ValueError as error:
            raise self._endpoint.unusable(str(error)) from None
        active = answer.get("active")
        if active is False:
            return None
        if active is not True:
            raise self._endpoint.unusable("`active` is neither true nor false")
        now = self.clock.now()
        identity = identify_answer(answer, self._expected, now)
        ends_at = inf if identity.expires_at is None else identity.expires_at
        return identity.replace(expires_at=min(ends_at, now + self._recheck))


_HINTS: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: ": it does not take client_id and client_secret, or not by this client_auth",
    HTTPStatus.FORBIDDEN: ": this client may not introspect",
}
