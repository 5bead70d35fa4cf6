"""What an application says about its paths: the keys of `[[routes]]`, read and checked."""

import logging
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

from wsauth.core.certificates import CERTIFICATE_SUBJECTS, CertificateSubject
from wsauth.core.credentials import SOURCES
from wsauth.core.origins import Origins
from wsauth.core.routes import OnRightsChange, Policy, Refusals
from wsauth.core.rules.rules import Rules
from wsauth.core.units import needed, seconds, size
from wsauth.errors import ConfigurationError
from wsauth.guard.rules import rules_of

__all__ = ["ELSEWHERE", "PolicyKeys", "Route", "RouteKeys", "policy_of"]

_log = logging.getLogger("wsauth")

ELSEWHERE: Final = "paths without a Route"
"""What the policy of all other paths is called in the log."""


class PolicyKeys(TypedDict, total=False):
    """Be the keys of `[[routes]]` that hold for every path. Durations `"30s"`, sizes `"64KiB"`; `""` or 0 is off."""

    sources: Sequence[str]
    require: Sequence[str]
    anonymous: bool
    subprotocols: Sequence[str]
    auth_timeout: str | float
    auth_attempts: int
    grace: str | float
    max_connection_age: str | float
    max_message: str | int
    max_unauthenticated_message: str | int
    idle_timeout: str | float
    follow_session: bool
    on_rights_change: OnRightsChange
    certificate_subject: CertificateSubject
    message_rules: Rules | str | Path | Mapping[str, Any]
    refusals: Refusals


class RouteKeys(PolicyKeys, total=False):
    """Be the keys of `[[routes]]` that the library knows, for one path."""

    origins: Sequence[str]


class Route:
    """Say what differs on one path.

    Args:
        path: exact, or a prefix that ends in `/*`; compared as sent. The longest match wins.
        keys: see `RouteKeys`; what is not said is as the guard says.
    """

    def __init__(self, path: str, **keys: Unpack[RouteKeys]) -> None:
        self.path = path
        self.keys = keys

    def __repr__(self) -> str:
        return f"Route({self.path!r}, {', '.join(f'{name}={value!r}' for name, value in self.keys.items())})"


def policy_of(path: str, keys: RouteKeys, access_ttl: float) -> Policy:
    """Read a route's keys.

    Raises:
        ConfigurationError: one is unknown, or its value cannot be meant.
    """
    unknown = set(keys) - set(_READ)
    if unknown:
        known = ", ".join(sorted(_READ))
        raise ConfigurationError(f"{path}: unknown key {sorted(unknown)[0]!r}; known are {known}")
    parsed = {_NAMES.get(name, name): _READ[name](name, value) for name, value in keys.items()}
    return Policy(path=path, access_ttl=access_ttl, **parsed)


def _names(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(entry, str) for entry in value):
        raise ConfigurationError(f'{name} is a list of names: write {name}=["…"]')
    return tuple(value)


def _require(name: str, value: Any) -> tuple[str, ...]:
    names = _names(name, value)
    for entry in names:
        if "*" in entry:
            raise ConfigurationError(f"{name}: {entry!r} is a pattern, and only roles have patterns; name a permission")
    return names


def _sources(name: str, value: Any) -> frozenset[str]:
    names = _names(name, value)
    unknown = set(names) - set(SOURCES)
    if unknown:
        raise ConfigurationError(f"{name}: unknown {sorted(unknown)[0]!r}; known are {', '.join(SOURCES)}")
    for insecure in sorted(set(names) & {"insecure_query", "insecure_bare_subprotocol"}):
        _log.warning("the source %r puts tokens where logs and histories keep them; a ticket does not", insecure)
    return frozenset(names)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name}={value!r}: write True or False")
    return value


def _refusals(name: str, value: Any) -> Any:
    if value not in ("auto", "http", "close"):
        raise ConfigurationError(f"{name}={value!r}: write auto, http or close")
    return value


def _on_rights_change(name: str, value: Any) -> Any:
    if value not in ("reconnect", "keep"):
        raise ConfigurationError(f"{name}={value!r}: write reconnect or keep")
    return value


def _certificate_subject(name: str, value: Any) -> Any:
    if value not in CERTIFICATE_SUBJECTS:
        raise ConfigurationError(f"{name}={value!r}: write {', '.join(CERTIFICATE_SUBJECTS)}")
    return value


def _attempts(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name}={value!r}: write a number from 1")
    return value


_READ: Final[dict[str, Callable[[str, Any], Any]]] = {
    "sources": _sources,
    "origins": lambda _, value: Origins(value),
    "require": _require,
    "anonymous": _truth,
    "subprotocols": _names,
    "auth_timeout": lambda name, value: needed(value, name),
    "auth_attempts": _attempts,
    "grace": lambda name, value: seconds(value, name),
    "max_connection_age": lambda name, value: seconds(value, name) or inf,
    "max_message": lambda name, value: size(value, name) or 2**63,
    "max_unauthenticated_message": lambda name, value: size(value, name) or 2**63,
    "idle_timeout": lambda name, value: seconds(value, name) or inf,
    "follow_session": _truth,
    "on_rights_change": _on_rights_change,
    "certificate_subject": _certificate_subject,
    "message_rules": lambda _, value: rules_of(value),
    "refusals": _refusals,
}
_NAMES: Final = {"message_rules": "rules"}
"""Key -> the policy's word for what it becomes."""
