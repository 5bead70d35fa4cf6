"""Remembering failed logins, exactly, over all processes."""

from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

from wsauth.core.lockout import Change, Counts

__all__ = ["Counters", "Decide"]

T = TypeVar("T")
Decide = Callable[[Counts], tuple[Change, T]]
"""Takes what is remembered of some keys, and returns what is to be, and an answer; it may be called again."""


class Counters(Protocol):
    """Keep counts. Every method is one transaction."""

    async def update(self, keys: Collection[str], decide: Decide[T]) -> T:
        """Let somebody decide on what is remembered of these keys, as if nobody else did meanwhile.

        Raises:
            Refused: `unavailable`: the store cannot be reached.
        """

    async def clear(self, prefix: str) -> None:
        """Forget all keys that begin so."""

    async def prune(self, now: float) -> None:
        """Forget what need not be kept any more."""
