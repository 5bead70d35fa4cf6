"""What somebody may do: roles become permission patterns, and a pattern answers for names.

A permission's name has segments between colons: `chat:42:send`. In a pattern `*` stands for exactly one segment
and a final or inner `**` for any number of them. Names come from credentials and code, patterns only from `roles`.
What begins with `wsauth:` is reached by no pattern, role or claim; only the grants of our own users give it.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from wsauth.core.identity import RESERVED, Identity
from wsauth.errors import ConfigurationError

__all__ = ["RESERVED", "Permissions", "Roles"]

_NAME_LIMIT: Final = 1024
_CACHE_LIMIT: Final = 1024
_INCLUDES: Final = "@"

Pattern = tuple[str, ...]


class Permissions:
    """Hold what one set of roles and names may do. Frozen; `name in permissions` answers."""

    __slots__ = ("_names", "_patterns", "names")

    def __init__(self, names: Iterable[str], patterns: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        self.names: tuple[str, ...] = tuple(sorted({*self._names, *patterns}))
        self._patterns: tuple[Pattern, ...] = tuple(tuple(pattern.split(":")) for pattern in patterns)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.allow(name)

    def allow(self, name: str) -> bool:
        """Tell whether the permission of exactly this name is held; what is not a name is not held."""
        if name in self._names:
            return True
        if not name or len(name) > _NAME_LIMIT or "*" in name or name.startswith(RESERVED):
            return False
        segments = name.split(":")
        return "" not in segments and any(_match(pattern, segments) for pattern in self._patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Permissions) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"Permissions({list(self.names)!r})"


class Roles:
    """Hold what each role may do, and resolve identities. Compiled once per set of roles.

    Args:
        table: role → permissions, which may hold `*` and `**`; `@member` stands for all of another role.

    Raises:
        ConfigurationError: a pattern has an empty segment, reaches for `wsauth:`, or mixes `*` with text; or a role
            includes one that is not there, or itself.
    """

    __slots__ = ("_compiled", "_table")

    def __init__(self, table: Mapping[str, Iterable[str]]) -> None:
        if not isinstance(table, Mapping):
            raise ConfigurationError('roles is a table: write roles={"member": ["chat:*:send"]}')
        own = {role: _checked(role, patterns) for role, patterns in table.items()}
        self._table: dict[str, tuple[str, ...]] = {}
        for role in own:
            _include(role, own, (), self._table)
        self._compiled: dict[tuple[tuple[str, ...], ...], Permissions] = {}

    def resolve(self, identity: Identity) -> Permissions:
        """Return what the identity may do; a role that is not in the table gives nothing."""
        key = (identity.roles, identity.permissions, identity.grants)
        permissions = self._compiled.get(key)
        if permissions is None:
            if len(self._compiled) >= _CACHE_LIMIT:
                self._compiled.clear()
            permissions = self._compiled[key] = self._compile(identity)
        return permissions

    def _compile(self, identity: Identity) -> Permissions:
        names = {name for name in identity.permissions if "*" not in name and not name.startswith(RESERVED)}
        patterns: set[str] = set()
        for role in identity.roles:
            for entry in self._table.get(role, ()):
                (patterns if "*" in entry else names).add(entry)
        names.update(identity.grants)
        return Permissions(names, sorted(patterns))


def _include(
    role: str, own: Mapping[str, tuple[str, ...]], above: tuple[str, ...], done: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the entries of a role, those of the roles that it includes in their place, and keep them in `done`."""
    if role in done:
        return done[role]
    if role in above:
        raise ConfigurationError(f"roles: {role!r} includes itself, by {' and '.join(above)}")
    entries: dict[str, None] = {}
    for entry in own[role]:
        if not entry.startswith(_INCLUDES):
            entries[entry] = None
        elif entry[1:] in own:
            entries |= dict.fromkeys(_include(entry[1:], own, (*above, role), done))
        else:
            raise ConfigurationError(f"roles: {role!r} includes {entry[1:]!r}, and there is no such role")
    done[role] = tuple(entries)
    return done[role]


def _checked(role: str, patterns: Iterable[str]) -> tuple[str, ...]:
    if isinstance(patterns, str):
        raise ConfigurationError(f'roles: {role!r} is a list of permissions: write ["{patterns}"]')
    entries = tuple(patterns)
    for entry in entries:
        if entry.startswith(_INCLUDES):
            continue
        segments = entry.split(":")
        if not entry or "" in segments:
            raise ConfigurationError(f"roles: {role!r} has the permission {entry!r}, which has an empty segment")
        if entry.startswith(RESERVED) or entry == RESERVED[:-1]:
            raise ConfigurationError(f"roles: {role!r} has {entry!r}: what begins with {RESERVED} is never a role's")
        if any("*" in segment and segment not in ("*", "**") for segment in segments):
            raise ConfigurationError(
                f"roles: {role!r} has {entry!r}: * stands for a whole segment, ** for any number of them"
            )
    return entries


def _match(pattern: Pattern, segments: list[str]) -> bool:
    """Match segment by segment; on a mismatch only the last `**` takes one more, so time is at most n·m."""
    at = position = 0
    star = mark = -1
    while position < len(segments):
        if at < len(pattern) and pattern[at] == "**":
            star, mark = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("*", segments[position]):
            at += 1
            position += 1
        elif star >= 0:
            mark += 1
            at, position = star + 1, mark
        else:
            return False
    return all(segment == "**" for segment in pattern[at:])
