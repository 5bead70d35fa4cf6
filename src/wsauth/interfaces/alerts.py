"""Telling people elsewhere that something looks like an attack."""

from typing import Protocol

from wsauth.core.events import Noticed

__all__ = ["Alerts"]


class Alerts(Protocol):
    """Bring alerts to whoever wants them, without being in anybody's way."""

    def start(self) -> None:
        """Begin to bring them."""

    def tell(self, notice: Noticed, actions: tuple[str, ...]) -> None:
        """Take an alert, at once.

        Args:
            notice: what was seen.
            actions: what is done about it.
        """

    async def aclose(self) -> None:
        """Bring what waits, within seconds, and end."""
