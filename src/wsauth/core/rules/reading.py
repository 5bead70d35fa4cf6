"""Read a JSON message that can do no harm: what would be too deep, too long or readable in two ways is never built.

The limits are looked at in the bytes, before anything is made of them: depth, elements, characters that nobody sees,
numbers. Members that stand twice are found while it is built.
"""

import re
import unicodedata
from typing import Any, Final

from wsauth.core.tokens.strict_json import load_object

__all__ = ["Limits", "is_plain", "read"]

# A string without control characters, neither raw nor escaped; tabs and line breaks are text (RFC 8259 section 7).
_GOOD: Final = (
    rb'"(?>(?:[^"\\\x00-\x1f\x7f\xc2]++|\xc2[^\x80-\x9f]|\\["\\/nrt]|\\u(?!00[01]|007[fF]|00[89])[0-9a-fA-F]{4})*+)"'
)
_STRINGS: Final = re.compile(rb'[^"]*+(?:' + _GOOD + rb'[^"]*+)*+')
_SHAPE: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]')
_COMMA: Final = b","


class Limits:
    """Hold what a message may be like.

    Args:
        size: bytes.
        depth: of objects and lists inside each other.
        items: elements and members in all.
    """

    __slots__ = ("depth", "items", "size")

    def __init__(self, *, size: int, depth: int, items: int) -> None:
        self.size = size
        self.depth = depth
        self.items = items


def read(text: bytes, limits: Limits) -> dict[str, Any]:
    """Return the JSON object of a message.

    Raises:
        ValueError: it is none that is taken; the text says why and repeats nothing of it.
    """
    if len(text) > limits.size:
        raise ValueError(f"it has over {limits.size} bytes")
    if _STRINGS.fullmatch(text) is None:
        raise ValueError("it has a control character, or a text that is none")
    if text.count(b"{") + text.count(b"[") > limits.depth or text.count(_COMMA) >= limits.items:
        _check_shape(text, limits)
    return load_object(text)


def _check_shape(text: bytes, limits: Limits) -> None:
    depth = commas = 0
    for found in _SHAPE.finditer(text):
        sign = found[0]
        if sign in (b"[", b"{"):
            depth += 1
            if depth > limits.depth:
                raise ValueError(f"it is nested more than {limits.depth} deep")
        elif sign in (b"]", b"}"):
            depth -= 1
        elif sign == _COMMA:
            commas += 1
            if commas >= limits.items:
                raise ValueError(f"it has over {limits.items} elements")


def is_plain(value: str) -> bool:
    """Tell whether a name means what it looks like: one form, nothing invisible, nothing that names are made of.

    A permission is made of it: so no colon and no star, no blank at its ends, one Unicode form (NFC), and no character
    that nobody sees.
    """
    return (
        0 < len(value) <= 128
        and ":" not in value
        and "*" not in value
        and value == value.strip()
        and value.isprintable()
        and (value.isascii() or unicodedata.is_normalized("NFC", value))
    )
