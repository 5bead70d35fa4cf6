"""JSON that can be read in one way only (RFC 7515 §10.12): UTF-8, no member twice, finite numbers."""

import json
import math
from typing import Any, Final, NoReturn

__all__ = ["load_object"]

_MAX_DEPTH: Final = 32
_MAX_DIGITS: Final = 40


def load_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object in `text`.

    Raises:
        ValueError: it is not strict UTF-8, not JSON, not an object, or can be read in two ways; the text says
            which and never repeats what was read.
    """
    try:
        value = _DECODER.decode(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    if text.count(b"{") + text.count(b"[") > _MAX_DEPTH:
        _refuse_depth(value, _MAX_DEPTH)
    if b"\\u" in text:
        _refuse_lone_surrogates(value)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands in it twice")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("it has a number that JSON does not know")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("it has a number that is too large")
    return number


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("it has a number that is too long")
    return int(digits)


def _refuse_depth(value: object, left: int) -> None:
    if left == 0:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _refuse_depth(each, left - 1)


def _refuse_lone_surrogates(value: dict[str, Any]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("it has half of a surrogate pair") from None


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer
)
