"""Noticing and acting of one process, put together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from wsauth.alerts import Webhook, Webhooks
from wsauth.core.noticing import actions as checked
from wsauth.errors import ConfigurationError
from wsauth.guard.local import Local
from wsauth.services.acting import Acting
from wsauth.services.connections.connections import Connections
from wsauth.services.noticing import Noticing

__all__ = ["Watch"]


class Watch:
    """Notice what looks like an attack, and do what is configured about it.

    Args:
        connections: those of this process; their bus takes and gives the events.
        local: our own users, with whom addresses can be blocked; or `None`.
        actions: notice -> what is done about it; an alert, where nothing is written.
        webhooks: where alerts go.
        revoke: as `Guard.revoke`.
        disconnect: as `Guard.disconnect`.

    Raises:
        ConfigurationError: there is no such notice or action, or nobody could carry it out.
    """

    def __init__(
        self,
        connections: Connections,
        local: Local | None,
        *,
        actions: Mapping[str, Sequence[str]],
        webhooks: Sequence[Webhook],
        revoke: Callable[..., Awaitable[Any]],
        disconnect: Callable[..., Awaitable[Any]],
    ) -> None:
        what_is_done = checked(actions)
        if local is None and any("block" in several for several in what_is_done.values()):
            raise ConfigurationError('actions: "block" needs a store that keeps blocks; use Guard.from_config')
        self._alerts = Webhooks(webhooks, clock=connections.clock, bus=connections.bus)
        self._noticing = Noticing(connections.bus, connections)
        self._looking: asyncio.Task[None] | None = None
        Acting(
            connections.bus,
            what_is_done,
            block=None if local is None else local.blocking.block,
            revoke=revoke,
            disconnect=disconnect,
            alerts=self._alerts,
        )

    def start(self) -> None:
        """Begin to look at traffic and to bring alerts."""
        self._looking = asyncio.create_task(self._noticing.run())
        self._alerts.start()

    async def aclose(self) -> None:
        """End, after the alerts that wait have been tried once more."""
        if self._looking is not None:
            self._looking.cancel()
        await self._alerts.aclose()
