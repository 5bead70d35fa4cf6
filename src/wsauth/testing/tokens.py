"""Tokens that a guard's own verifier accepts, signed with a key of the test's: no identity provider, no network."""

import secrets
import warnings
from collections.abc import Iterable
from typing import Any, Protocol, Self

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from wsauth.errors import ConfigurationError
from wsauth.guard import Guard
from wsauth.services.keys.configured import keys_of_jwks
from wsauth.verifiers.jwt import JWTVerifier

__all__ = ["TokenIssuer"]

_PREFERRED = ("ES256", "EdDSA", "PS256", "RS256", "HS256")
_KEY_ID = "wsauth.testing"


class _Clock(Protocol):
    def now(self) -> float: ...


class TokenIssuer:
    """Stand in for the identity provider of a guard.

    The guard's `JWTVerifier` goes on judging issuer, audience, times and roles as configured; only its keys are
    replaced, by one that is made here. `close` gives it its own keys back; make the issuer before the application
    starts, so that no keys are fetched.

    Args:
        guard: whose tokens to make.
        issuer: which of its JWT verifiers; by default the first.

    Raises:
        ConfigurationError: the guard has no such verifier (then see `Guard.override`).
    """

    def __init__(self, guard: Guard, *, issuer: str | None = None) -> None:
        self._verifier = _find(guard, issuer)
        self._clock: _Clock = self._verifier.clock
        self._algorithm = next(name for name in _PREFERRED if name in self._verifier.algorithms)
        self._key = _draw(self._algorithm)
        public = self._key.as_dict(private=self._algorithm == "HS256") | {"kid": _KEY_ID, "alg": self._algorithm}
        self._before = self._verifier.replace_keys(keys_of_jwks({"keys": [public]}, self._verifier.algorithms))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the verifier its own keys back; tokens of this issuer are bad from then on."""
        self._verifier.replace_keys(self._before)

    def token(
        self,
        subject: str,
        *,
        roles: Iterable[str] = (),
        permissions: Iterable[str] = (),
        ttl: float = 300.0,
        **claims: Any,
    ) -> str:
        """Return a token for somebody.

        Args:
            subject: who.
            roles: in the issuer's words, before `JWTVerifier(roles=…)` maps them.
            permissions: what the token itself allows.
            ttl: seconds until `exp`; negative for one that has expired.
            claims: put in last, so that they replace what would stand there; `None` takes a claim out.
        """
        expected = self._verifier.expected
        now = int(self._clock.now())
        payload: dict[str, Any] = {"iat": now, "exp": now + ttl, "jti": secrets.token_urlsafe(12)}
        if expected.issuer is not None:
            payload["iss"] = expected.issuer
        if expected.audience:
            payload["aud"] = min(expected.audience)
        for path, wanted in expected.required_claims.items():
            _put(payload, path, wanted[0] if isinstance(wanted, list | tuple) else wanted)
        _put(payload, expected.subject_claim, subject)
        if roles := list(roles):
            _put(payload, expected.roles_claim, roles)
        if permissions := list(permissions):
            scope = expected.permissions_claim.rpartition(".")[2] == "scope"
            _put(payload, expected.permissions_claim, " ".join(permissions) if scope else permissions)
        payload = {name: value for name, value in (payload | claims).items() if value is not None}
        header = {"alg": self._algorithm, "kid": _KEY_ID, "typ": self._type()}
        with warnings.catch_warnings():
            # RFC 9864 renames EdDSA; which name is accepted is the verifier's to say.
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(header, payload, self._key, algorithms=[self._algorithm])

    def _type(self) -> str:
        types = self._verifier.expected.token_types
        return "at+jwt" if "at+jwt" in types else min(types)

    def __repr__(self) -> str:
        return f"TokenIssuer({self._verifier!r}, {self._algorithm})"


def _find(guard: Guard, issuer: str | None) -> JWTVerifier:
    for verifier in guard.verifiers:
        if isinstance(verifier, JWTVerifier) and issuer in (None, verifier.issuer):
            return verifier
    named = "" if issuer is None else f" of {issuer!r}"
    raise ConfigurationError(f"the guard has no JWTVerifier{named}: without one use guard.override(identity)")


def _draw(algorithm: str) -> Key:
    if algorithm == "EdDSA":
        return OKPKey.generate_key("Ed25519")
    if algorithm == "ES256":
        return ECKey.generate_key("P-256")
    return OctKey.generate_key(256) if algorithm == "HS256" else RSAKey.generate_key(2048)


def _put(claims: dict[str, Any], path: str, value: object) -> None:
    """Put a value where `wsauth.core.tokens.rights.at` finds it: a URL is one name, dots lead inwards."""
    if "://" in path:
        claims[path] = value
        return
    *outer, name = path.split(".")
    for step in outer:
        claims = claims.setdefault(step, {})
    claims[name] = value
