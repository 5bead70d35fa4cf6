"""What looks like an attack, what may be done about it, and when a connection's traffic jumps."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from wsauth.errors import ConfigurationError

__all__ = ["ACTIONS", "NOTICES", "Traffic", "actions"]

ACTIONS: Final = ("block", "end_session", "alert")
NOTICES: Final = (
    "login_failures",
    "many_accounts",
    "token_reuse",
    "second_network",
    "bad_messages",
    "traffic_jump",
)
_STRANGERS: Final = frozenset({"login_failures", "many_accounts"})
"""Those about somebody who has not logged in."""
_UNLESS_WRITTEN: Final = ("alert",)

_LOOKS: Final = 3
"""Looks before there is a usual amount."""
_LEAST: Final = 1024 * 1024
"""Bytes between two looks below which nothing is a jump."""
_TIMES: Final = 20
"""Times the usual amount that are a jump."""
_WEIGHT: Final = 1 / 8


def actions(written: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return what is done about each notice: what is written, else an alert.

    Raises:
        ConfigurationError: there is no such notice or action, or it would do an attacker's work.
    """
    for what, several in written.items():
        if what not in NOTICES:
            raise ConfigurationError(f"actions: {what!r} is none of {', '.join(NOTICES)}")
        for each in several:
            if each not in ACTIONS:
                raise ConfigurationError(f"actions: {what}: {each!r} is none of {', '.join(ACTIONS)}")
        if what in _STRANGERS and "end_session" in several:
            raise ConfigurationError(
                f"actions: {what}: whoever guesses has no session, and with end_session could log its owner out"
            )
    return {what: tuple(written.get(what, _UNLESS_WRITTEN)) for what in NOTICES}


class Traffic(msgspec.Struct, frozen=True, gc=False):
    """Be what a client has sent, as one look saw it.

    Attributes:
        total: bytes since the connection began.
        usual: bytes between two looks until now, the newest counting most.
        looks: how many there were.
    """

    total: int
    usual: float = 0.0
    looks: int = 0

    def then(self, total: int) -> "Traffic":
        """Return what the next look sees."""
        return Traffic(total, self.usual + (total - self.total - self.usual) * _WEIGHT, self.looks + 1)

    def jumps(self, total: int) -> bool:
        """Tell whether far more came since this look than usually does between two."""
        came = total - self.total
        return self.looks >= _LOOKS and came >= _LEAST and came > self.usual * _TIMES
