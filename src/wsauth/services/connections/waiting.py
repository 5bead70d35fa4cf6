"""Who has connected and not authenticated yet: there is room for so many, and whoever takes most of it makes room."""

from typing import Protocol

__all__ = ["Sheddable", "Waiting"]


class Sheddable(Protocol):
    """Be somebody who waits."""

    def shed(self) -> None:
        """Close, to make room for others."""


class Waiting:
    """Hold those who wait, the oldest first, by address.

    Args:
        per_address: how many of one address.
        total: how many in all.
    """

    def __init__(self, per_address: int, total: int) -> None:
        self._per_address = per_address
        self._total = total
        self._by_address: dict[str, dict[Sheddable, None]] = {}
        self._address: dict[Sheddable, str] = {}

    def __len__(self) -> int:
        return len(self._address)

    def add(self, who: Sheddable, address: str, *, capped: bool = True) -> None:
        """Let somebody wait; where there is no room, the oldest of the address that holds most is closed.

        Args:
            who: waits.
            address: what their address is counted as.
            capped: the number of one address has an end, too; not where a token may still come, or for an exempt one.
        """
        ours = self._by_address.setdefault(address, {})
        ours[who] = None
        self._address[who] = address
        if capped and len(ours) > self._per_address:
            self._shed(address)
        elif len(self._address) > self._total:
            self._shed(max(self._by_address, key=lambda each: len(self._by_address[each])))

    def discard(self, who: Sheddable) -> None:
        """Take it that somebody waits no more; again is harmless."""
        address = self._address.pop(who, None)
        if address is not None:
            ours = self._by_address[address]
            del ours[who]
            if not ours:
                del self._by_address[address]

    def _shed(self, address: str) -> None:
        oldest = next(iter(self._by_address[address]))
        self.discard(oldest)
        oldest.shed()
