"""What a new password must be like. How it is kept is `wsauth.services.passwords`."""

import unicodedata
from typing import Final

from wsauth.core.users import fold

__all__ = ["reasons"]

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of what cannot be seen, and so cannot be typed again knowingly: controls, format characters, line
ends, and halves of characters, which have no UTF-8."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""Format characters that people do type: Persian words and compound emoji need them."""


def reasons(password: str, *, username: str, minimum: int, maximum: int, classes: int = 0) -> list[str]:
    """Say in words why a new password is not acceptable; nothing is said about one that is.

    No class of characters is asked for by itself, and nothing is trimmed, folded or cut: the password counts exactly as
    it came (ASVS 6.2.5 and 6.2.8). The reasons never repeat it.

    Args:
        password: the new password.
        username: whose it will be.
        minimum: characters (code points, SP 800-63B-4 section 3.1.1.2).
        maximum: characters; a limit against work, not a wish.
        classes: how many of lower case, upper case, digits and everything else it needs; for who must have them.
    """
    found = []
    if len(password) < minimum:
        found.append(f"It is too short: it needs at least {minimum} characters")
    if len(password) > maximum:
        return [f"It is too long: it may have at most {maximum} characters"]
    if any(unicodedata.category(each) in _UNSEEN and each not in _JOINERS for each in password):
        found.append("It contains a character that cannot be seen")
    if fold(password.strip()) == fold(username):
        found.append("It is the username")
    if len({_class_of(each) for each in password}) < classes:
        found.append(f"It needs characters of {classes} kinds: small letters, capital letters, digits, and all others")
    return found


def _class_of(character: str) -> str:
    if character.isdigit():
        return "digit"
    return "lower" if character.islower() else "upper" if character.isupper() else "other"
