"""The environment and the command line, laid over what the file says."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_origin

from wsauth.errors import ConfigurationError
from wsauth.settings.declarations import field_at, is_secret, listed, type_at
from wsauth.settings.later import default_of
from wsauth.settings.settings import DEFAULT_ROUTES
from wsauth.settings.sources import Place, Sources, dotted
from wsauth.settings.upstreams import UNIX

__all__ = ["overlay", "override", "secret"]

_PREFIX: Final = "WSAUTH__"
_FILE: Final = "_file"
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_INDEX: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_OPTIONS: Final[dict[str, Place]] = {
    "host": ("server", "host"),
    "port": ("server", "port"),
    "store": ("store", "url"),
    "workers": ("server", "workers"),
}
_UPSTREAM: Final[Place] = ("routes", 0, "upstream")
_FILES: Final = ("sqlite:///", UNIX)
"""What a path follows."""


def secret(environ: Mapping[str, str], name: str) -> str | None:
    """Return a secret from the variable `name`, or from the file that `name`_FILE names, without its line's end.

    Raises:
        ConfigurationError: both are set, or the file cannot be read.
    """
    named = environ.get(f"{name}_FILE")
    if named is None:
        return environ.get(name)
    if name in environ:
        raise ConfigurationError(f"{name} and {name}_FILE are both set: remove one")
    try:
        return Path(named).read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{name}_FILE: {_why(error)}; write the path of a text file") from None


def overlay(data: dict[str, Any], environ: Mapping[str, str], sources: Sources) -> None:
    """Lay every `WSAUTH__…` variable over the configuration as read.

    Raises:
        ConfigurationError: a variable names no place there could be.
    """
    for name in sorted(environ, key=_order):
        if not name.startswith(_PREFIX):
            continue
        place = _place(name)
        stem = str(place[-1]).removesuffix(_FILE)
        field = field_at((*place[:-1], stem))
        if stem != place[-1] and field_at(place) is None and field is not None and is_secret(field):
            place = (*place[:-1], stem)
            text = secret(environ, name.removesuffix("_FILE")) or ""
        else:
            text = environ[name]
        _put(data, place, _read(text, _type(place)), name, sources)


def override(data: dict[str, Any], options: Mapping[str, object], sources: Sources) -> None:
    """Lay the command line's options over everything; None is an option that was not given.

    `upstream` serves every path, but what the routes demand of clients stays.
    """
    for option, value in options.items():
        if value is None:
            continue
        if option == "upstream":
            _serve_everything(data, _from_here(_read(str(value), type_at(_UPSTREAM))), sources)
            continue
        place = _OPTIONS[option]
        read = _read(value, type_at(place)) if isinstance(value, str) else value
        _put(data, place, _from_here(read) if option == "store" else read, f"--{option}", sources)


def _serve_everything(data: dict[str, Any], upstream: str | list[str], sources: Sources) -> None:
    routes = [] if data["routes"] == DEFAULT_ROUTES else data["routes"]
    if isinstance(routes, list) and all(isinstance(route, dict) for route in routes):
        if not any(route.get("path") == "/*" for route in routes):
            routes = [*routes, {"path": "/*"}]
        data["routes"] = [{**route, "upstream": upstream} for route in routes]
        sources.named |= {("routes", at, "upstream"): "--upstream" for at in range(len(routes))}


def _from_here(value: Any) -> Any:
    """Return a URL, or a list of them, with its path as seen from the working directory, where it was written."""
    if isinstance(value, list):
        return [_from_here(entry) for entry in value]
    for start in _FILES:
        path = value.removeprefix(start) if isinstance(value, str) else ""
        if path and path != value and not path.startswith(":"):
            return start + str(Path.cwd() / path)
    return value


def _order(name: str) -> tuple[str, ...]:
    return tuple(part.zfill(9) if part.isdigit() else part for part in name.split("__"))


def _place(name: str) -> Place:
    place: Place = ()
    for part in name.removeprefix(_PREFIX).lower().split("__"):
        place = (*place, int(part) if _INDEX.fullmatch(part) and listed(type_at(place)) else part)
    return place


def _type(place: Place) -> Any:
    later = default_of(str(place[0]), str(place[-1]))
    if later is None:
        return type_at(place)
    return tuple if isinstance(later, list) else type(later)


def _read(text: str, declared: Any) -> Any:
    """Return what a text stands for where this type is declared; what cannot be read stays a text."""
    several = listed(declared)
    if several is not None and several is not declared:
        return _composed(text.strip(), tuple) if "," in text or text.strip().startswith("[") else text
    declared = get_origin(declared) or declared
    if declared in (None, str, Literal):
        return text
    if declared is bool:
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if declared in (tuple, dict):
        return _composed(text.strip(), declared)
    if _NUMBER.fullmatch(text.strip()):
        return float(text) if "." in text else int(text)
    return text


def _composed(text: str, declared: Any) -> Any:
    if text.startswith(("[", "{")):
        try:
            read = tomllib.loads(f"value = {text}")
        except ValueError:  # not TOML, or a number that is too long to read
            return text
        return read["value"] if set(read) == {"value"} else text
    return [entry.strip() for entry in text.split(",") if entry.strip()] if declared is tuple else text


def _put(data: dict[str, Any], place: Place, value: Any, name: str, sources: Sources) -> None:
    """Set the value at a place, make the tables on the way to it, and remember who did."""
    outer: Any = data
    for at, part in enumerate(place[:-1], 1):
        _check(outer, place[:at], name)
        if part == len(outer) if isinstance(outer, list) else part not in outer:
            _set(outer, part, [] if listed(type_at(place[:at])) else {})
            sources.named[place[:at]] = name
        outer = outer[part]
    _check(outer, place, name)
    _set(outer, place[-1], value)
    sources.named[place] = name


def _check(outer: Any, place: Place, name: str) -> None:
    part = place[-1]
    if isinstance(outer, list):
        if not isinstance(part, int):
            raise ConfigurationError(f"{name}: {dotted(place[:-1])} is a list; write a number in place of {part!r}")
        if part > len(outer):
            next_one = dotted((*place[:-1], len(outer)))
            raise ConfigurationError(f"{name}: there is no {dotted(place)}; the next one is {next_one}")
    elif not isinstance(outer, dict):
        kind = "list" if isinstance(part, int) else "table"
        raise ConfigurationError(f"{name}: {dotted(place[:-1])} is no {kind}; remove the variable")


def _set(outer: Any, part: str | int, value: Any) -> None:
    if isinstance(outer, list) and part == len(outer):
        outer.append(value)
    else:
        outer[part] = value


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or "it cannot be read") if isinstance(error, OSError) else "it is not UTF-8"
