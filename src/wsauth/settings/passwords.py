"""`[passwords]`: what a new password must be."""

from pydantic import StrictInt

from wsauth.settings.keys import NeededDuration, Table, key

__all__ = ["Passwords"]


class Passwords(Table):
    """What a new password must be (NIST SP 800-63B-4 section 3.1.1, ASVS 6.2.1)."""

    minimum_length: StrictInt = key(15, "The fewest characters of a new password; never under 8.", ge=8)
    maximum_length: StrictInt = key(256, "The most characters of a password.", ge=8, le=4096)
    require_classes: StrictInt = key(
        0,
        "How many kinds of characters it needs: small and capital letters, digits, others. NIST advises against it.",
        ge=0,
        le=4,
    )
    minimum_strength: StrictInt = key(
        3,
        "How hard to guess it must be, as zxcvbn says: 0 to 4. The most common passwords are always refused.",
        ge=0,
        le=4,
    )
    lockout_after: StrictInt = key(
        10,
        "Wrong passwords in a row after which an account is locked for the network they came from. Over all networks "
        "there is only a growing delay.",
        ge=1,
        le=100,
    )
    lockout_for: NeededDuration = key("15m", "How long that lasts, and how long the delay gets at most.")
