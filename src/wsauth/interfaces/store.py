"""Everything that a database keeps, together."""

from typing import Protocol

from wsauth.interfaces.audit import AuditStore
from wsauth.interfaces.blocks import BlockStore
from wsauth.interfaces.counters import Counters
from wsauth.interfaces.feed import Feed, FeedReader
from wsauth.interfaces.keys import KeyStore
from wsauth.interfaces.sessions import SessionStore
from wsauth.interfaces.tickets import TicketStore
from wsauth.interfaces.users import UserStore

__all__ = ["Store"]


class Store(Protocol):
    """Be an opened database. A method of its parts that cannot reach it raises `Refused("unavailable")`."""

    users: UserStore
    sessions: SessionStore
    tickets: TicketStore
    keys: KeyStore
    audit: AuditStore
    counters: Counters
    blocks: BlockStore
    feed: Feed
    reader: FeedReader

    async def open(self) -> None:
        """Open it, with the newest schema; missing tables are made, older schemas migrated.

        Raises:
            ConfigurationError: it cannot be opened, or was made by a newer release.
        """

    @property
    def made(self) -> bool:
        """Tell whether there is one already, before it is opened."""

    @property
    def reachable(self) -> bool:
        """Tell whether the last write came through."""

    async def aclose(self) -> None:
        """Finish what is being written and let go of threads and files."""
