"""Judge JSON Web Tokens (RFC 7519) that one issuer signed, as RFC 8725 and RFC 9068 ask."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.core.tokens.claims import identify
from wsauth.core.tokens.envelope import Envelope, open_envelope, shown
from wsauth.core.tokens.expecting import expectations, names_in
from wsauth.core.tokens.keys import ASYMMETRIC, SUPPORTED
from wsauth.core.tokens.keysets import KeySet
from wsauth.core.tokens.logout import Logout, read_logout
from wsauth.core.tokens.verified import LIFETIME, VerifiedTokens
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.verifier import MustWait
from wsauth.services.clock import SystemClock
from wsauth.services.keys.configured import keys_of_jwks, keys_of_pem, keys_of_secret
from wsauth.services.keys.keysets import Keys, RemoteKeys

__all__ = ["JWTVerifier"]

_log = logging.getLogger("wsauth")


class JWTVerifier:
    """Judge the JWTs of one issuer.

    Its keys come from one of `jwks_url`, `jwks`, `public_key` and `secret`, and with none of them from OpenID
    Connect Discovery.

    Args:
        issuer: the exact `iss`. `None` says that it is not checked: every JWT is this verifier's, and `name`
            stands for the issuer in the identities.
        audience: what `aud` must have, or several of which it must have one. `None`: it is not checked.
        jwks_url: where the key set is fetched; https, or http on this machine.
        jwks: a key set as a value, or the path of its file.
        public_key: a PEM text, or the path of its file.
        secret: for HS256: at least 32 bytes, as text, bytes or a `SecretStr`.
        algorithms: of HS256, RS256, PS256, ES256, EdDSA; empty for what the keys can do.
        token_types: accepted `typ` values; a missing one is `JWT`.
        required_claims: claim (or dotted path) → its value, or a list of which it must be one.
        leeway: how far clocks may differ; at most 60 seconds.
        max_ttl: a token that lives longer is refused; 0 is no limit.
        subject_claim: whose value, a text, is the subject.
        roles_claim: a claim or a dotted path: a list of names, or one name.
        permissions_claim: the same, or a space-delimited text.
        roles: their names to ours, `"*"` for all; a role that is not in it is dropped.
        cookie: the cookie in which this issuer's token may also come.
        name: the identities' issuer where `issuer` is `None`; `jwt` if it is not given.
        clock: what time it is.

    Attributes:
        expected: what a good token must claim.
        algorithms: those that are accepted.

    Raises:
        ConfigurationError: something cannot work or would not be safe.
    """

    def __init__(
        self,
        *,
        issuer: str | None,
        audience: str | Sequence[str] | None,
        jwks_url: str | None = None,
        jwks: Mapping[str, object] | str | Path | None = None,
        public_key: str | bytes | Path | None = None,
        secret: object = None,
        algorithms: str | Sequence[str] = (),
        token_types: Sequence[str] = ("at+jwt", "JWT"),
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
        self.cookie = cookie
        self.clock: Clock = SystemClock() if clock is None else clock
        self.expected = expectations(
            issuer=issuer,
            name=name or "jwt",
            audience=audience,
            token_types=token_types,
            required_claims=required_claims,
            leeway=leeway,
            max_ttl=max_ttl,
            subject_claim=subject_claim,
            roles_claim=roles_claim,
            permissions_claim=permissions_claim,
            roles=roles,
        )
        self.issuer, self.name = self.expected.issuer, self.expected.name
        self.leeway, self.max_ttl = self.expected.leeway, self.expected.max_ttl
        self.algorithms = _algorithms(algorithms)
        self._verified = VerifiedTokens()
        self._keys = self._source(jwks_url, jwks, public_key, secret)
        self._warn()

    def __repr__(self) -> str:
        return f"JWTVerifier(issuer={self.issuer!r})"

    async def start(self) -> None:
        """Fetch the keys now, where they have to be fetched; a failure is logged and made good later."""
        await self._keys.start()

    async def aclose(self) -> None:
        """Stop fetching keys."""
        await self._keys.aclose()

    def replace_keys(self, keys: Keys) -> Keys:
        """Judge by other keys from now on and return those of before; for tests."""
        before, self._keys = self._keys, keys
        self._verified.clear()
        return before

    def recall(self, credentials: Credentials) -> Identity | None:
        """Return who presented a token that was found good a moment ago, without waiting; else `None`."""
        token = self._token(credentials)
        return None if token is None else self._verified.get(token, self.clock.now())

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return whom the token speaks of, or `None` when it is no JWT or another issuer's.

        Raises:
            Refused: `token_invalid`, `token_expired`, or `unavailable` while there are no keys.
        """
        known = self.recall(credentials)
        envelope = None if known is not None else self._envelope(credentials)
        if envelope is None:
            return known
        return self._judged(credentials.secret, envelope, await self._keys.obtain(envelope.key_id))

    def judge(self, credentials: Credentials) -> Identity | None:
        """Return what `verify` would, where the keys are here.

        Raises:
            Refused: `token_invalid` or `token_expired`.
            MustWait: they are not.
        """
        known = self.recall(credentials)
        envelope = None if known is not None else self._envelope(credentials)
        if envelope is None:
            return known
        keys = self._keys.ready(envelope.key_id)
        if keys is None:
            raise MustWait
        return self._judged(credentials.secret, envelope, keys)

    async def read_logout(self, token: str, client_id: str) -> Logout:
        """Return what a logout token of this issuer says (OpenID Connect Back-Channel Logout 1.0).

        Args:
            token: as it came.
            client_id: ours, at the issuer.

        Raises:
            Refused: `token_invalid`, or `unavailable` while there are no keys.
        """
        envelope = self._opened(token)
        if envelope is None or self.issuer is None:
            raise Refused("token_invalid", "it is no JWT of this issuer")
        _check_signature(envelope, await self._keys.obtain(envelope.key_id))
        return read_logout(envelope, client_id=client_id, leeway=self.leeway, now=self.clock.now())

    def _envelope(self, credentials: Credentials) -> Envelope | None:
        """Return the token's parts, or `None` when it is no JWT or another issuer's."""
        token = self._token(credentials)
        return None if token is None else self._opened(token)

    def _opened(self, token: str) -> Envelope | None:
        envelope = open_envelope(token)
        if envelope is None or (self.issuer is not None and envelope.claims.get("iss") != self.issuer):
            return None
        if envelope.algorithm not in self.algorithms:
            raise Refused(
                "token_invalid",
                f"the token's alg is {shown(envelope.algorithm)}, not one of {', '.join(self.algorithms)}",
                mend="algorithms of this issuer",
            )
        return envelope

    def _judged(self, token: str, envelope: Envelope, keys: KeySet) -> Identity:
        """Verify with these keys; nothing waits, so a key that is taken away empties the cache before or after this."""
        _check_signature(envelope, keys)
        return self._good(token, envelope)

    def _good(self, token: str, envelope: Envelope) -> Identity:
        now = self.clock.now()
        identity = identify(envelope, self.expected, now)
        until = min(now + LIFETIME, self._keys.good_until)
        if identity.expires_at is not None:
            until = min(until, identity.expires_at)
        self._verified.put(token, identity, until)
        return identity

    def _token(self, credentials: Credentials) -> str | None:
        if credentials.kind != "token":
            return None
        if credentials.source == "cookie" and (not self.cookie or credentials.cookie != self.cookie):
            return None
        return credentials.secret

    def _source(
        self,
        jwks_url: str | None,
        jwks: Mapping[str, object] | str | Path | None,
        public_key: str | bytes | Path | None,
        secret: object,
    ) -> Keys:
        given = {"jwks_url": jwks_url or None, "jwks": jwks, "public_key": public_key, "secret": secret}
        names = [name for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise ConfigurationError(f"{' and '.join(names)}: the keys come from one place, drop the rest")
        # An empty secret or key is an unset variable, and no reason to look for keys elsewhere.
        if secret is not None:
            return keys_of_secret(secret, self.algorithms)
        if public_key is not None:
            return keys_of_pem(public_key, self.algorithms)
        if jwks is not None:
            return keys_of_jwks(jwks, self.algorithms)
        return self._remote(jwks_url or "")

    def _remote(self, jwks_url: str) -> RemoteKeys:
        if not jwks_url and self.issuer is None:
            raise ConfigurationError(
                "there are no keys: give jwks_url, jwks, public_key or secret, or the issuer for discovery"
            )
        self.algorithms = tuple(name for name in self.algorithms if name in ASYMMETRIC)
        if not self.algorithms:
            raise ConfigurationError(f"algorithms: HS256 needs a secret; fetched keys can {', '.join(ASYMMETRIC)}")
        return RemoteKeys(
            jwks_url=jwks_url,
            issuer=self.issuer or "",
            allowed=self.algorithms,
            clock=self.clock,
            on_removed=self._verified.clear,
        )

    def _warn(self) -> None:
        if self.issuer is None:
            _log.warning("JWTVerifier: issuer=None: every token signed with these keys is accepted")
        if not self.expected.audience:
            _log.warning("%r: audience=None: tokens made for other services are accepted here", self)


def _algorithms(algorithms: str | Sequence[str]) -> tuple[str, ...]:
    names = names_in(algorithms, "algorithms") or SUPPORTED
    for name in names:
        if name not in SUPPORTED:
            raise ConfigurationError(f"algorithms: {name!r} is not one of {', '.join(SUPPORTED)}")
    return names


def _check_signature(envelope: Envelope, keys: KeySet) -> None:
    key = keys.choose(envelope.algorithm, envelope.key_id)
    if key is None:
        raise _no_key(envelope)
    key.verify(envelope.algorithm, envelope.signed, envelope.signature)


def _no_key(envelope: Envelope) -> Refused:
    named = "no kid" if envelope.key_id is None else f"the kid {shown(envelope.key_id)}"
    return Refused(
        "token_invalid",
        f"the token has {named} and the alg {shown(envelope.algorithm)}: that means no key, or several",
    )
