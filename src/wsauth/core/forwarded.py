"""Whom somebody is, as headers for what is behind us (CONTRACT section 8)."""

from typing import Final
from urllib.parse import quote

from wsauth.core.identity import NOBODY, Identity
from wsauth.core.permissions import Permissions

__all__ = ["identity_headers"]

_LIMIT: Final = 4096
"""Bytes of a header's value; what is longer is left out, and said to be."""
_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in ",%")


def identity_headers(identity: Identity, permissions: Permissions) -> list[tuple[str, str]]:
    """Return the headers that say who it is; for nobody those that a subject needs are absent."""
    if identity is NOBODY:
        return [("X-Wsauth-Roles", _listed(identity.roles)), ("X-Wsauth-Permissions", _listed(permissions.names))]
    written = {
        "X-Wsauth-Issuer": _encoded(identity.issuer),
        "X-Wsauth-Subject": _encoded(identity.subject),
        "X-Wsauth-Session": _encoded(identity.session_id or ""),
        "X-Wsauth-Roles": _listed(identity.roles),
        "X-Wsauth-Permissions": _listed(permissions.names),
    }
    truncated = [name for name, value in written.items() if len(value) > _LIMIT]
    kept = [(name, value) for name, value in written.items() if name not in truncated]
    if identity.session_id is None:
        kept = [(name, value) for name, value in kept if name != "X-Wsauth-Session"]
    if truncated:
        kept.append(("X-Wsauth-Truncated", ",".join(truncated)))
    return kept


def _listed(names: tuple[str, ...]) -> str:
    return ",".join(_encoded(name) for name in names)


def _encoded(text: str) -> str:
    return quote(text, safe=_SAFE)
