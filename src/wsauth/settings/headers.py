"""Names of headers, as the configuration may write them (RFC 9110 section 5.1)."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from wsauth.core.forwarded import IDENTITY_HEADERS
from wsauth.settings.keys import Kind
from wsauth.settings.sources import Inside

__all__ = ["Claims", "Removed"]

_NAME: Final = re.compile(r"[!#$%&'+.^_`|~0-9A-Za-z-]+", re.ASCII)
"""A token, but for `*`: who writes that means a pattern."""
_OURS: Final = frozenset({"forwarded", "x-real-ip", "x-wsauth-assertion", *(each.lower() for each in IDENTITY_HEADERS)})
"""What we say ourselves, beside all that begins with `x-forwarded-`."""
_NEEDED: Final = frozenset({"connection", "host", "sec-websocket-key", "sec-websocket-version", "upgrade"})
"""Without these there is no handshake (RFC 6455 section 4.1)."""
_HANDSHAKES: Final = _NEEDED | {
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "http2-settings",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
}
"""What says how to connect, or who asks (RFC 9110 section 7.6.1, RFC 6455 section 4.1)."""


def _folded(name: str) -> str:
    """Return the name as those see it who take `_` for `-`, as many servers do."""
    return name.lower().replace("_", "-")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a header's name; write X-User")
    return value


def _removed(value: str) -> str:
    """Check a name, or how names begin, with `*` at the end."""
    if "*" in value.removesuffix("*") or value == "*":
        raise ValueError(f"{value!r} is not how names begin; write X-Auth-*")
    if _folded(_name(value.removesuffix("*"))) in _NEEDED:
        raise ValueError(f"{value!r} is needed to connect and cannot be removed; write other names")
    return value


def _claims_own(value: str) -> str:
    name = _folded(_name(value))
    if name in _OURS or name.startswith("x-forwarded-"):
        raise ValueError(f"{value!r} is what wsauth itself says; write another name, such as X-Wsauth-Email")
    if name in _HANDSHAKES or name.startswith("sec-websocket-"):
        raise ValueError(f"{value!r} belongs to the handshake; write another name, such as X-Wsauth-Email")
    return value


def _distinct(value: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for claim, header in value.items():
        if not claim:
            raise ValueError('forward_claims has a claim without a name: write email = "X-Wsauth-Email"')
        if (other := found.setdefault(_folded(header), claim)) != claim:
            raise Inside((claim,), f"{header!r} is the header of {other!r} too; write another name")
    return value


Removed = Annotated[tuple[Annotated[str, AfterValidator(_removed)], ...], Kind("list of header names")]
Claims = Annotated[
    dict[str, Annotated[str, AfterValidator(_claims_own)]], AfterValidator(_distinct), Kind("claims and header names")
]
