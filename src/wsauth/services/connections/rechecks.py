"""Ask again about the credentials that a lease stands on, before it ends (CONTRACT section 6, the table of leases)."""

import asyncio
from math import inf
from random import Random
from typing import TYPE_CHECKING, Final

from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.core.lease import Lease
from wsauth.core.protocol.states import State
from wsauth.errors import Refused
from wsauth.services.connections.deadlines import Deadline

if TYPE_CHECKING:
    from wsauth.services.connections.connection import Connection
    from wsauth.services.connections.connections import Connections

__all__ = ["Recheck"]

_AHEAD: Final = 45.0
"""Seconds before its end at which a lease is asked about, at the latest; a quarter of a short one."""
_AGAIN: Final = 2.0
"""Seconds between two questions that nobody answers, at least; twice that at most."""
_WAITING: Final = ("unavailable", "draining")

_random = Random()  # noqa: S311  spreads questions


class Recheck:
    """Be the questions about one connection's credentials.

    Those who came together are asked about one after another: each at a moment of its own, well before the client
    would be told that the end is near. While nobody answers, the lease runs to its end, and is no longer for that.

    Args:
        connection: stands on the credentials.
        credentials: that were presented.
        service: of the connection.
    """

    __slots__ = ("_asking", "_connection", "_credentials", "_ends_at", "_service", "deadline")

    def __init__(self, connection: "Connection", credentials: Credentials, service: "Connections") -> None:
        self.deadline: Deadline | None = None
        self._connection = connection
        self._credentials = credentials
        self._service = service
        self._ends_at = -inf
        self._asking: asyncio.Task[None] | None = None

    def plan(self, lease: Lease) -> None:
        """Ask before this lease ends, unless the question before left the end where it was."""
        if lease.ends_at in (self._ends_at, inf):
            return
        self._ends_at = lease.ends_at
        ahead = min(_AHEAD, (lease.ends_at - lease.granted_at) / 4)
        self._service.deadlines.set(self, lease.ends_at - ahead * (1 + _random.random()))

    def stop(self) -> None:
        """Ask no more."""
        self._service.deadlines.set(self, inf)
        if self._asking is not None:
            self._asking.cancel()

    def wake(self, now: float) -> None:
        """Ask."""
        self._asking = asyncio.ensure_future(self._ask())

    async def _ask(self) -> None:
        known = await self._known()
        self._asking = None
        if self._connection.machine.state in (State.CLOSING, State.CLOSED):
            return
        if not isinstance(known, Refused):
            self._connection.rechecked(known)
        elif known.code in _WAITING:
            self._service.deadlines.set(self, self._service.clock.now() + _AGAIN * (1 + _random.random()))
        else:
            self._connection.end(known)

    async def _known(self) -> Identity | Refused:
        service, credentials = self._service, self._credentials
        try:
            return service.admit(await service.authentication.recheck(credentials), credentials)
        except Refused as error:
            return error.as_value()
