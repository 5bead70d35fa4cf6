"""Read a JSON message that can do no harm: what would be too deep, too long or readable in two ways is never built.

The limits are looked at in the bytes, before anything is made of them: size, depth, elements, characters that nobody
sees. Numbers, and members that stand twice, are looked at while it is built.
"""

import re
import unicodedata
from typing import Any, Final

from wsauth.core.tokens.strict_json import load_object
from wsauth.core.users import fold

__all__ = ["Limits", "check_limits", "collides", "is_plain", "read"]

# A string without control characters, neither raw nor escaped; tabs and line breaks are text (RFC 8259 section 7).
_GOOD: Final = (
    rb'"(?>(?:[^"\\\x00-\x1f\x7f\xc2]++|\xc2[^\x80-\x9f]|\\["\\/nrt]|\\u(?!00[01]|007[fF]|00[89])[0-9a-fA-F]{4})*+)"'
)
_STRINGS: Final = re.compile(rb'[^"]*+(?:' + _GOOD + rb'[^"]*+)*+')
_SHAPE: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]')
_COMMA: Final = b","
# Printable, and yet nothing to be seen (Unicode, Default_Ignorable_Code_Point; and the blank of Braille).
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


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
    check_limits(text, limits)
    return load_object(text)


def check_limits(text: bytes, limits: Limits) -> None:
    """Go on only if a message is within these limits, and its texts are texts.

    Raises:
        ValueError: as `read`.
    """
    if len(text) > limits.size:
        raise ValueError(f"it has over {limits.size} bytes")
    if _STRINGS.fullmatch(text) is None:
        raise ValueError("it has a control character, or a text that is none")
    opened = text.count(b"{") + text.count(b"[")
    if opened > limits.depth or opened + text.count(_COMMA) > limits.items:
        _check_shape(text, limits)


def _check_shape(text: bytes, limits: Limits) -> None:
    depth = elements = 0
    for found in _SHAPE.finditer(text):
        sign = found[0]
        if sign in (b"[", b"{"):
            depth += 1
            if depth > limits.depth:
                raise ValueError(f"it is nested more than {limits.depth} deep")
        elif sign in (b"]", b"}"):
            depth -= 1
        if sign in (b"[", b"{", _COMMA):
            elements += 1
            if elements > limits.items:
                raise ValueError(f"it has over {limits.items} elements")


def collides(value: Any) -> bool:
    """Tell whether an object has two members whose names differ only in case or form: some readers take either."""
    if isinstance(value, dict):
        names = {_folded(name) for name in value}
        return len(names) != len(value) or any(map(collides, value.values()))
    return isinstance(value, list) and any(map(collides, value))


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else fold(name)


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
        and _UNSEEN.search(value) is None
        and (value.isascii() or unicodedata.is_normalized("NFC", value))
    )
