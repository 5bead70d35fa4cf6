"""Who judges what others issued, as a configuration says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from wsauth.errors import ConfigurationError
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.verifier import Verifier
from wsauth.settings import Settings
from wsauth.settings.issuers import Issuer
from wsauth.verifiers.certificate import CertificateVerifier
from wsauth.verifiers.http import HTTPVerifier
from wsauth.verifiers.introspection import IntrospectionVerifier
from wsauth.verifiers.jwt import JWTVerifier

__all__ = ["verifiers_of"]


def verifiers_of(settings: Settings, clock: Clock) -> list[Verifier]:
    """Return who judges what others issued, signed tokens first: nobody is asked about what can be read.

    Raises:
        ConfigurationError: one of them cannot work, or would not be safe.
    """
    authorities = settings.server.tls_client_ca
    found: list[Verifier] = [CertificateVerifier(authorities)] if authorities else []
    order = sorted(enumerate(settings.issuers), key=lambda each: each[1].kind != "jwt")
    for at, issuer in order:
        if not issuer.takes_tokens:
            continue
        try:
            found.append(_VERIFIERS[issuer.kind](issuer, clock))
        except ConfigurationError as error:
            raise ConfigurationError(f"issuers[{at}] ({issuer.named}): {error}") from None
    return found


def _jwt(issuer: Issuer, clock: Clock) -> Verifier:
    return JWTVerifier(
        **_common(issuer),
        **_expected(issuer),
        jwks_url=issuer.jwks_url or None,
        public_key=Path(issuer.public_key) if issuer.public_key else None,
        secret=issuer.secret or None,
        algorithms=issuer.algorithms,
        token_types=issuer.token_types,
        clock=clock,
    )


def _introspection(issuer: Issuer, clock: Clock) -> Verifier:
    return IntrospectionVerifier(
        **_common(issuer),
        **_expected(issuer),
        url=issuer.url,
        client_id=issuer.client_id,
        client_secret=issuer.client_secret,
        client_auth=issuer.client_auth,
        recheck=issuer.recheck,
        clock=clock,
    )


def _http(issuer: Issuer, clock: Clock) -> Verifier:
    return HTTPVerifier(**_common(issuer), url=issuer.url, recheck=issuer.recheck, clock=clock)


_VERIFIERS: Final[dict[str, Callable[[Issuer, Clock], Verifier]]] = {
    "jwt": _jwt,
    "introspection": _introspection,
    "http": _http,
}


def _common(issuer: Issuer) -> dict[str, Any]:
    return {
        "name": issuer.named,
        "issuer": None if issuer.issuer is False or (issuer.kind == "http" and not issuer.issuer) else issuer.issuer,
        "subject_claim": issuer.claim("subject"),
        "roles_claim": issuer.claim("roles"),
        "permissions_claim": issuer.claim("permissions"),
        "roles": issuer.roles,
        "cookie": issuer.cookie,
        "max_ttl": issuer.max_ttl,
    }


def _expected(issuer: Issuer) -> dict[str, Any]:
    return {
        "audience": None if issuer.audience is False else issuer.audience,
        "required_claims": issuer.required_claims,
        "leeway": issuer.leeway,
    }
