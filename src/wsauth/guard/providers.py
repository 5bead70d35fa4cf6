"""With whom people sign in, as a configuration says."""

from pathlib import Path
from typing import Final

from wsauth.core.tokens.rights import role_map
from wsauth.errors import ConfigurationError
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.provider import Provider
from wsauth.interfaces.verifier import Verifier
from wsauth.providers.endpoints import ConfiguredEndpoints, Discovery, Endpoints, Whereabouts
from wsauth.providers.provider import CodeProvider
from wsauth.services.keys.documents import check_url
from wsauth.settings import Settings
from wsauth.settings.issuers import Issuer
from wsauth.verifiers.jwt import JWTVerifier

__all__ = ["providers_of"]

_URLS: Final = ("authorization_url", "token_url", "userinfo_url")


def providers_of(settings: Settings, clock: Clock) -> dict[str, Provider]:
    """Return with whom people sign in, by name.

    Raises:
        ConfigurationError: one of them cannot work, or would not be safe.
    """
    found: dict[str, Provider] = {}
    for at, issuer in enumerate(settings.issuers):
        if issuer.signs_in:
            try:
                found[issuer.named] = _provider(issuer, clock)
            except ConfigurationError as error:
                raise ConfigurationError(f"issuers[{at}] ({issuer.named}): {error}") from None
    return found


def _provider(issuer: Issuer, clock: Clock) -> Provider:
    if not issuer.client_id:
        raise ConfigurationError("client_id: sign_in needs one; the provider gives it")
    whereabouts, id_tokens = _oauth(issuer) if any(getattr(issuer, name) for name in _URLS) else _openid(issuer, clock)
    return CodeProvider(
        name=issuer.named,
        issuer=issuer.issuer if isinstance(issuer.issuer, str) and issuer.issuer else issuer.named,
        whereabouts=whereabouts,
        id_tokens=id_tokens,
        client_id=issuer.client_id,
        client_secret=issuer.client_secret,
        client_auth=issuer.client_auth,
        scopes=issuer.scopes,
        subject_claim=issuer.claim("subject"),
        roles_claim=issuer.claim("roles"),
        roles=role_map(issuer.roles),
        required_claims=issuer.required_claims,
        recheck=issuer.recheck,
        clock=clock,
    )


def _oauth(issuer: Issuer) -> tuple[Whereabouts, None]:
    """Return the endpoints that are configured; whose userinfo says who somebody is."""
    missing = [name for name in _URLS if not getattr(issuer, name)]
    if missing:
        raise ConfigurationError(f"{', '.join(missing)}: authorization_url, token_url and userinfo_url go together")
    urls = [check_url(getattr(issuer, name), name) for name in _URLS]
    return ConfiguredEndpoints(Endpoints(authorization=urls[0], token=urls[1], userinfo=urls[2])), None


def _openid(issuer: Issuer, clock: Clock) -> tuple[Whereabouts, Verifier]:
    """Return the endpoints that the provider names, and who judges its ID tokens."""
    if not isinstance(issuer.issuer, str) or not issuer.issuer:
        raise ConfigurationError(
            "issuer: to sign people in the provider's exact issuer is needed, or authorization_url, token_url and "
            "userinfo_url"
        )
    if "openid" not in issuer.scopes:
        raise ConfigurationError('scopes: without "openid" there is no ID token (OpenID Connect Core section 3.1.2.1)')
    id_tokens = JWTVerifier(
        issuer=issuer.issuer,
        audience=issuer.client_id,
        jwks_url=issuer.jwks_url or None,
        public_key=Path(issuer.public_key) if issuer.public_key else None,
        secret=issuer.secret or None,
        algorithms=issuer.algorithms,
        token_types=["JWT"],
        required_claims=issuer.required_claims,
        leeway=issuer.leeway,
        max_ttl=0.0,
        subject_claim=issuer.claim("subject"),
        roles_claim=issuer.claim("roles"),
        roles=issuer.roles,
        name=issuer.named,
        clock=clock,
    )
    return Discovery(issuer.issuer, clock), id_tokens
