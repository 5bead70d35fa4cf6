"""Signing in with a provider: what must hold between the way there and the way back (RFC 6749, RFC 9700, OIDC Core)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256, sha512
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from wsauth.core.origins import Origins
from wsauth.errors import Refused

__all__ = [
    "LASTS",
    "Transaction",
    "challenge_of",
    "check_answer",
    "check_id_token",
    "is_challenge",
    "is_good_return",
    "with_query",
]

LASTS: Final = 600.0
"""Seconds that somebody may take to sign in at the provider."""
_LONGEST_RETURN: Final = 512
"""Characters."""
_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)
"""A path, a query and a fragment of our own: no second slash that would begin a host, and no backslash, which browsers
take for one."""
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class Transaction(msgspec.Struct, frozen=True, array_like=True):
    """Be one way to a provider and back. It stands in the browser's cookie, signed; nothing in it is secret.

    Attributes:
        state: names it; good once.
        provider: whose callback may end it.
        expires_at: seconds since the epoch.
        return_to: where the browser goes in the end.
        challenge: of the page that will fetch tokens (RFC 7636); empty: the session is kept by a cookie.
    """

    state: str
    provider: str
    expires_at: float
    return_to: str
    challenge: str


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a code verifier (RFC 7636 section 4.2)."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def is_challenge(text: str) -> bool:
    """Tell whether it can be an S256 challenge."""
    return _CHALLENGE.fullmatch(text) is not None


def is_good_return(url: str, origins: Origins) -> bool:
    """Tell whether a browser may be sent there: to a path of ours, or to an allowed page (RFC 9700 section 4.11).

    `origins = ["*"]` allows pages to connect; it is nobody's leave to send people anywhere.
    """
    if len(url) > _LONGEST_RETURN or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    if _PATH.fullmatch(url):
        return True
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    origin = f"{parts.scheme}://{parts.netloc}"
    return not origins.any and url.startswith(origin) and url[len(origin) :][:1] in ("", "/") and origins.allow(origin)


def with_query(url: str, **values: str) -> str:
    """Return a URL with more in its query."""
    before, hash_, fragment = url.partition("#")
    return f"{before}{'&' if '?' in before else '?'}{urlencode(values)}{hash_}{fragment}"


def check_answer(query: Mapping[str, str], issuer: str | None, *, must_name: bool) -> str:
    """Return the code of an authorization response (RFC 6749 section 4.1.2, RFC 9207).

    Args:
        query: of the callback.
        issuer: whom we sent the browser to; `None`: it has no name to compare.
        must_name: it says of itself that its answers name it.

    Raises:
        Refused: `token_invalid`: the provider refused, it is another one's answer, or there is no code.
    """
    named = query.get("iss")
    if issuer is not None and (named != issuer if named is not None or must_name else False):
        raise Refused("token_invalid", "the answer is another provider's, or does not say whose (RFC 9207)")
    if "error" in query:
        error = query["error"]
        known = error if re.fullmatch(r"[a-z_]{1,40}", error) else "an error"
        raise Refused("token_invalid", f"the provider answered {known}")
    if not query.get("code"):
        raise Refused("token_invalid", "the answer has no code")
    return query["code"]


def check_id_token(
    claims: Mapping[str, Any], *, client_id: str, nonce: str | None, access_token: str | None, algorithm: str
) -> None:
    """Go on only if an ID token with a good signature is for us, of this sign-in (OpenID Connect Core section 3.1.3.7).

    Args:
        claims: of the token; issuer, audience and times are good.
        client_id: ours.
        nonce: of this sign-in; `None`: it came with a refresh (section 12.2).
        access_token: that came with it, if any.
        algorithm: of the signature.

    Raises:
        Refused: `token_invalid`.
    """
    audience, authorized = claims.get("aud"), claims.get("azp")
    if (isinstance(audience, list) and len(audience) > 1) or authorized is not None:
        _go_on(authorized == client_id, "its azp is not us")
    if nonce is not None:
        said = claims.get("nonce")
        _go_on(isinstance(said, str) and compare_digest(said.encode(), nonce.encode()), "its nonce is another")
    if access_token is not None and "at_hash" in claims:
        _go_on(claims["at_hash"] == _half_hash(access_token, algorithm), "its at_hash is of another access token")
    issued_at = claims.get("iat")
    _go_on(type(issued_at) in (int, float), "it has no iat")


def _go_on(good: bool, why: str) -> None:
    if not good:
        raise Refused("token_invalid", f"the ID token is not good: {why}")


def _half_hash(token: str, algorithm: str) -> str:
    """Return the left half of the hash that goes with the algorithm, as `at_hash` has it."""
    digest = (sha512 if algorithm == "EdDSA" else sha256)(token.encode()).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
