"""Do what is configured about what was noticed (CONTRACT `[monitoring.actions]`)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from wsauth.core import events
from wsauth.interfaces.alerts import Alerts
from wsauth.services.events import Bus

__all__ = ["Acting"]


class Acting:
    """Block, end sessions and alert.

    Args:
        bus: gives what was noticed.
        actions: notice -> what is done about it, in the order in which it is done.
        block: keeps an address out; `None`: nobody can.
        revoke: as `Guard.revoke`.
        disconnect: as `Guard.disconnect`.
        alerts: takes alerts.
    """

    def __init__(
        self,
        bus: Bus,
        actions: Mapping[str, tuple[str, ...]],
        *,
        block: Callable[[str, str], Awaitable[None]] | None,
        revoke: Callable[..., Awaitable[Any]],
        disconnect: Callable[..., Awaitable[Any]],
        alerts: Alerts,
    ) -> None:
        self._actions = actions
        self._block = block
        self._revoke = revoke
        self._disconnect = disconnect
        self._alerts = alerts
        bus.subscribe(events.Noticed, self._act)

    async def _act(self, notice: events.Noticed) -> None:
        actions = self._actions[notice.what]
        if "alert" in actions:
            self._alerts.tell(notice, actions)
        if "block" in actions and self._block is not None and notice.address:
            await self._block(notice.address, notice.what)
        if "end_session" in actions:
            await self._end(notice)

    async def _end(self, notice: events.Noticed) -> None:
        """End the session, else the token; where somebody has neither, their connection."""
        if notice.session_id is not None:
            await self._revoke(session_id=notice.session_id)
        elif notice.token_id is not None:
            await self._revoke(token_id=notice.token_id, issuer=notice.issuer)
        elif notice.connection_id is not None:
            await self._disconnect(connection_id=notice.connection_id)
