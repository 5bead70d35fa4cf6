"""Remembering who is kept out."""

from collections.abc import Sequence
from typing import Protocol

from wsauth.core.blocks import Block

__all__ = ["BlockStore"]


class BlockStore(Protocol):
    """Keep blocks. Every method is one transaction; what it changes, the feed says in the same."""

    async def all(self, now: float) -> Sequence[Block]:
        """Return those that are in force, in the order of their networks."""

    async def add(self, block: Block) -> bool:
        """Add one in place of another of its network, an automatic one in no other's; tells whether it was added."""

    async def remove(self, network: str) -> bool:
        """Remove one; tells whether there was one."""

    async def prune(self, now: float) -> None:
        """Forget those that are over."""
