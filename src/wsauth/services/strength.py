"""How easily a new password is guessed: common and breached ones, names, patterns; all of it offline, by zxcvbn."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final

from zxcvbn import zxcvbn
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from wsauth.core.users import fold

__all__ = ["weaknesses"]

_LOOKED_AT: Final = 72
"""Characters; what begins well does not become worse by what follows, and the work grows with their square."""
_PRODUCT: Final = "wsauth"
_BREACHED: Final = frozenset(FREQUENCY_LISTS["passwords"])
"""The 30,000 most common passwords of known breaches, which the library carries; in small letters."""
_MEANT: Final = str.maketrans("@({[<!|$+%0", "accccilstxo")
"""What stands for a letter, read as it: the library tries every reading of these, and many take it seconds."""
_NAME: Final = 4
"""Characters of a name that is looked for within a password; shorter ones are part of many words."""
_PATTERNS: Final = {
    "spatial": "It is built on neighbouring keys",
    "repeat": "It is built on repetition",
    "sequence": "It is built on a sequence such as abcd or 6543",
    "date": "It is built on a date",
    "regex": "It is built on a year",
}
_one_at_a_time: Final = Lock()


def weaknesses(password: str, username: str, minimum: int) -> list[str]:
    """Say in words why a password is too easily guessed; nothing is said about one that is not.

    It may take a tenth of a second: not for an event loop. Common passwords and the names are refused in any case.

    Args:
        password: the new password.
        username: whose it will be.
        minimum: of zxcvbn's 0 to 4; 3 is about 10**8 guesses, 0 asks for none.
    """
    told = fold(password)
    if told in _BREACHED or password.casefold() in _BREACHED:
        return ["It is one of the most common passwords"]
    if named := [name for name in (fold(username).partition("@")[0], _PRODUCT) if len(name) >= _NAME and name in told]:
        return [f"It contains the {'name wsauth' if named == [_PRODUCT] else 'username'}"]
    if not minimum or not password:
        return []
    # The library keeps the words that it is given in its module.
    with _one_at_a_time:
        found = zxcvbn(password[:_LOOKED_AT].translate(_MEANT), [fold(username), _PRODUCT])
    whole: Sequence[Mapping[str, Any]] = found["sequence"]
    if found["score"] >= minimum:
        return []
    reasons = dict.fromkeys(filter(None, map(_reason, whole)))
    return ["It is too easily guessed: add words that do not belong together", *reasons]


def _reason(match: Mapping[str, Any]) -> str:
    """Return what a part of the password is; the part itself is not repeated."""
    if match["pattern"] != "dictionary":
        return _PATTERNS.get(match["pattern"], "")
    if match["dictionary_name"] == "user_inputs":
        return "It is built on the username or on the name wsauth"
    if match["dictionary_name"] == "passwords":
        return "It is built on a common password"
    return "It is built on a common word or name"
