"""Whom somebody is, as headers for what is behind us (CONTRACT section 8)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from wsauth.core.identity import NOBODY, Identity
from wsauth.core.permissions import Permissions

__all__ = ["IDENTITY_HEADERS", "LIMIT", "TRUNCATED", "encoded", "identity_headers", "listed"]

LIMIT: Final = 4096
"""Bytes of a header's value; what is longer is left out, and said to be."""
TRUNCATED: Final = "X-Wsauth-Truncated"
IDENTITY_HEADERS: Final = (
    "X-Wsauth-Issuer",
    "X-Wsauth-Subject",
    "X-Wsauth-Session",
    "X-Wsauth-Roles",
    "X-Wsauth-Permissions",
    TRUNCATED,
)
_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in ",%")
_needs_nothing: Final = re.compile(r"[!-$&-+\--~]*", re.ASCII).fullmatch

_REMEMBERED: Final = 256


def identity_headers(
    identity: Identity, permissions: Permissions, claims: Iterable[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """Return the headers that say who it is; for nobody those that a subject needs are absent.

    Args:
        identity: who.
        permissions: what they may do.
        claims: further headers, their values as they will be written.
    """
    written: list[tuple[str, str]] = []
    if identity is not NOBODY:
        written.append(("X-Wsauth-Issuer", encoded(identity.issuer)))
        written.append(("X-Wsauth-Subject", encoded(identity.subject)))
        if identity.session_id is not None:
            written.append(("X-Wsauth-Session", encoded(identity.session_id)))
    written.append(("X-Wsauth-Roles", listed(identity.roles)))
    written.append(("X-Wsauth-Permissions", listed(permissions.names)))
    written += claims
    for _, value in written:
        if len(value) > LIMIT:
            return _without_long(written)
    return written


def _without_long(written: list[tuple[str, str]]) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in written if len(value) <= LIMIT]
    return [*kept, (TRUNCATED, ",".join([name for name, value in written if len(value) > LIMIT]))]


@lru_cache(maxsize=_REMEMBERED)
def listed(names: tuple[str, ...]) -> str:
    """Return names as one value that can be taken apart at its commas."""
    return ",".join([encoded(name) for name in names])


def encoded(text: str) -> str:
    """Return a text as visible ASCII without commas, percent-encoded where it must be (RFC 3986 section 2.1)."""
    # Half of a surrogate pair has no UTF-8; so it stays what it is, and is nobody else's name.
    return text if _needs_nothing(text) else quote(text, safe=_SAFE, errors="surrogatepass")
