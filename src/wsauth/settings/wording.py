"""One line for what is wrong: what, in which key, and the mend. What a value was is told only where it is harmless."""

import difflib
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import ErrorDetails

from wsauth.settings.declarations import field_at, is_secret, key_at, kind, known, toml, written
from wsauth.settings.later import KEYS
from wsauth.settings.sources import Inside, Place, Problem, dotted

__all__ = ["problem"]

_SHOWN: Final = 40
"""Characters of a value that are shown."""


def problem(error: ErrorDetails) -> Problem:
    """Say what pydantic found wrong."""
    place = (*error["loc"], *_inside(error))
    say = _SAY.get(error["type"])
    return Problem(place, say(place, error) if say else f"{dotted(place)}: {error['msg']}{_mend(place)}")


def _inside(error: ErrorDetails) -> Place:
    wrong = error.get("ctx", {}).get("error")
    return wrong.at if isinstance(wrong, Inside) else ()


def _unknown(place: Place, _: ErrorDetails) -> str:
    outer, name = place[:-1], str(place[-1])
    where = f"[{dotted(outer)}]" if outer else "the configuration"
    names = [*known(outer), *KEYS.get(str(place[0]), ())] if outer else [*known(())]
    near = difflib.get_close_matches(name, names, n=1)
    mend = f"did you mean {dotted((*outer, near[0]))}?" if near else f"remove it, or write one of {', '.join(names)}"
    return f"{toml(name[:_SHOWN])} is not a key of {where}; {mend}"


def _missing(place: Place, _: ErrorDetails) -> str:
    return f"{dotted(place)} is missing{_mend(place)}"


def _meant(place: Place, error: ErrorDetails) -> str:
    """Take the text of our own check, which begins with the key's name."""
    text = str(error["ctx"]["error"])
    name = _name(place)
    text = text.removeprefix(name) if text.startswith((f"{name} ", f"{name}:")) else f": {text}"
    mended = any(mend in text for mend in ("write", "known are"))
    return f"{dotted(place)}{text}{'' if mended else _mend(place) or '; remove it'}"


def _is(what: str) -> Callable[[Place, ErrorDetails], str]:
    return lambda place, error: f"{dotted(place)}{_shown(place, error)} is {what}{_mend(place)}"


def _bound(place: Place, error: ErrorDetails) -> str:
    bound = {"greater_than_equal": ("ge", "under"), "less_than_equal": ("le", "over")}[error["type"]]
    return _is(f"{bound[1]} {error['ctx'][bound[0]]}")(place, error)


def _choice(place: Place, error: ErrorDetails) -> str:
    field = field_at(place)
    return _is(f"not {kind(field)}" if field else "not known")(place, error)


def _list(place: Place, error: ErrorDetails) -> str:
    value, name = error["input"], place[-1]
    mend = f": write {name} = {toml([value])}" if isinstance(value, str) and isinstance(name, str) else _mend(place)
    return f"{dotted(place)}{_shown(place, error)} is not a list{mend}"


def _shown(place: Place, error: ErrorDetails) -> str:
    value: Any = error["input"]
    field = field_at(place)
    if field is None or is_secret(field) or not isinstance(value, str | int | float) or len(str(value)) > _SHOWN:
        return ""
    return f" = {toml(value)}"


def _mend(place: Place) -> str:
    found = key_at(place)
    if found is None or len(place) < 2:
        return ""
    if place[0] == "roles":
        return f': write {place[1]} = ["chat:*:read"]'
    return f": write {written(*found, example=True)}"


def _name(place: Place) -> str:
    return next(str(part) for part in reversed(place) if isinstance(part, str))


_SAY: Final[dict[str, Callable[[Place, ErrorDetails], str]]] = {
    "extra_forbidden": _unknown,
    "missing": _missing,
    "value_error": _meant,
    "literal_error": _choice,
    "greater_than_equal": _bound,
    "less_than_equal": _bound,
    "int_type": _is("not a whole number"),
    "int_parsing": _is("not a whole number"),
    "int_from_float": _is("not a whole number"),
    "bool_type": _is("neither true nor false"),
    "string_type": _is("not a text"),
    "string_too_short": _is("empty"),
    "tuple_type": _list,
    "dict_type": _is("not a table"),
    "model_type": _is("not a table"),
    "model_attributes_type": _is("not a table"),
}
