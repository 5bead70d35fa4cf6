"""What the contract names and this release does not have: refused, never ignored."""

from collections.abc import Iterator
from typing import Any, Final

from wsauth.settings.sources import Place, Problem, dotted

__all__ = ["KEYS", "LATER", "VALUES", "default_of", "settle"]

KEYS: Final[dict[str, dict[str, Any]]] = {
    "store": {"shared": ""},
    "routes": {"token_in_every_message": False},
}
"""Table → key → the default, which is taken and changes nothing; every other value is refused."""

VALUES: Final = {("store", "url"): ("postgresql:", "postgresql+", "postgres:")}
"""Table and key → how values begin that come later."""

LATER: Final = "comes in a later release of wsauth"


def default_of(table: str, key: str) -> Any:
    """Return the default of a key that comes later; None where it is no such key."""
    return KEYS.get(table, {}).get(key)


def settle(data: dict[str, Any]) -> None:
    """Take out of the configuration, as read, the keys that come later and have their default.

    Raises:
        Problem: something is asked for that comes later.
    """
    for name in {*KEYS, *(table for table, _ in VALUES)}:
        for place, table in _entries(name, data.get(name)):
            _settle(place, table)


def _entries(name: str, found: Any) -> Iterator[tuple[Place, dict[str, Any]]]:
    if isinstance(found, dict):
        yield (name,), found
    elif isinstance(found, list):
        yield from (((name, at), entry) for at, entry in enumerate(found) if isinstance(entry, dict))


def _settle(place: Place, table: dict[str, Any]) -> None:
    name = str(place[0])
    for key, default in KEYS.get(name, {}).items():
        if key in table:
            value = table.pop(key)
            if value != default or type(value) is not type(default):
                raise Problem((*place, key), f"`{dotted((*place, key))}` {LATER}; remove it")
    for key, value in table.items():
        _refuse_values((*place, key), VALUES.get((name, key), ()), value)


def _refuse_values(place: Place, beginnings: tuple[str, ...], value: Any) -> None:
    for beginning in beginnings:
        if isinstance(value, str) and value.startswith(beginning):
            raise Problem(place, f'{dotted(place)} with {beginning!r} {LATER}; write url = "sqlite:///wsauth.db"')
