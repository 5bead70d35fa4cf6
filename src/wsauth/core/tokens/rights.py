"""Roles and permissions out of claims: exact names, nothing implied (RFC 9068 §2.2.3)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from wsauth.core.permissions import RESERVED
from wsauth.errors import ConfigurationError

__all__ = ["RoleMap", "at", "permissions_in", "role_map", "roles_in"]

_SCOPE: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*", re.ASCII)  # RFC 6749 §3.3
_SCOPE_CLAIM: Final = "scope"

RoleMap = Mapping[str, tuple[str, ...]]
"""Their role → ours; the key `*` is for those that are not in it, the value `*` keeps the name."""


def at(claims: Mapping[str, Any], path: str) -> Any:
    """Return the claim of exactly that name, else what the dotted path leads to, else `None`."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def roles_in(claims: Mapping[str, Any], path: str, roles: RoleMap) -> tuple[str, ...]:
    """Return our roles for theirs: a list of names, or one name; anything else is none."""
    if not roles:
        return ()
    ours: dict[str, None] = {}
    for theirs in _names(at(claims, path)):
        for name in roles.get(theirs, roles.get("*", ())):
            kept = theirs if name == "*" else name
            if not kept.startswith(RESERVED):
                ours[kept] = None
    return tuple(ours)


def permissions_in(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Return the permissions held directly: a space-delimited text, or (but for `scope`) a list of names.

    They are names and never patterns: one with a `*` is dropped, and so is a reserved one. Whatever has
    another shape grants nothing.
    """
    value = at(claims, path)
    if isinstance(value, str):
        names: Iterable[str] = value.split(" ") if _SCOPE.fullmatch(value) else ()
    elif path.rpartition(".")[2] == _SCOPE_CLAIM:
        names = ()  # RFC 8693 §4.2: a text
    else:
        names = _names(value)
    return tuple(dict.fromkeys(name for name in names if "*" not in name and not name.startswith(RESERVED)))


def role_map(roles: str | Mapping[str, Any]) -> RoleMap:
    """Return a role map as it was configured: `"*"`, `{"theirs": "ours"}` or `{"theirs": ["ours", …]}`.

    Raises:
        ConfigurationError: it is none of these, or gives a reserved role.
    """
    if roles == "*":
        return {"*": ("*",)}
    if not isinstance(roles, Mapping):
        raise ConfigurationError('roles maps their names to ours: {"their-admin": "admin"}, or "*" to take all')
    return {theirs: _ours(theirs, ours) for theirs, ours in roles.items()}


def _ours(theirs: str, ours: object) -> tuple[str, ...]:
    names = (ours,) if isinstance(ours, str) else ours
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(f"roles: {theirs!r} is mapped to a name of ours or a list of them")
    if any(name.startswith(RESERVED) for name in names):
        raise ConfigurationError(f"roles: {theirs!r} is mapped to a name that begins with {RESERVED}; take another")
    return tuple(names)


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str) and value:
        return (value,)
    if isinstance(value, list) and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    return ()
