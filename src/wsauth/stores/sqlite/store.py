"""The store in one SQLite file."""

import os
from pathlib import Path

from wsauth.interfaces.audit import AuditStore
from wsauth.interfaces.blocks import BlockStore
from wsauth.interfaces.counters import Counters
from wsauth.interfaces.feed import Feed, FeedReader
from wsauth.interfaces.keys import KeyStore
from wsauth.interfaces.sessions import SessionStore
from wsauth.interfaces.tickets import TicketStore
from wsauth.interfaces.users import UserStore
from wsauth.stores.sql.blocks import SQLBlocks
from wsauth.stores.sql.counters import SQLCounters
from wsauth.stores.sql.feed import SQLFeed
from wsauth.stores.sql.keys import SQLKeys
from wsauth.stores.sql.sessions import SQLSessions
from wsauth.stores.sql.tickets import SQLTickets
from wsauth.stores.sql.users import SQLUsers
from wsauth.stores.sqlite.audit import SQLiteAudit
from wsauth.stores.sqlite.engine import SQLiteEngine, in_thread
from wsauth.stores.sqlite.file import DatabaseFile
from wsauth.stores.sqlite.presence import Presence
from wsauth.stores.sqlite.watcher import Watcher

__all__ = ["SQLiteStore"]


class SQLiteStore:
    """Keep everything in one file, on a local disk, for the processes of one machine.

    Args:
        path: of the file; made when the store is opened.
        busy_timeout: seconds that a statement waits while another process holds the file.

    Attributes:
        engine: runs the statements.
    """

    def __init__(self, path: str | os.PathLike[str], *, busy_timeout: float = 5.0) -> None:
        self._path = Path(path)
        self._file = DatabaseFile(path, busy_timeout)
        self.engine = SQLiteEngine(self._file)
        self.users: UserStore = SQLUsers(self.engine)
        self.sessions: SessionStore = SQLSessions(self.engine)
        self.tickets: TicketStore = SQLTickets(self.engine)
        self.keys: KeyStore = SQLKeys(self.engine)
        self.audit: AuditStore = SQLiteAudit(self._file, self.engine)
        self.counters: Counters = SQLCounters(self.engine)
        self.blocks: BlockStore = SQLBlocks(self.engine)
        self._presence = Presence(self._path)
        self.feed: Feed = SQLFeed(self.engine, self._presence)
        self.reader: FeedReader = Watcher(self._file)

    async def open(self) -> None:
        """Open the file, with the newest schema; a missing one is made.

        Raises:
            ConfigurationError: it cannot be opened, is no store, or was made by a newer release.
        """
        await in_thread(self._file.prepare)
        self.engine.start()

    @property
    def made(self) -> bool:
        """Tell whether the file is there already."""
        return self._path.is_file() and self._path.stat().st_size > 0

    @property
    def reachable(self) -> bool:
        """Tell whether the last write came through."""
        return self.engine.reachable

    async def aclose(self) -> None:
        """Finish what is being written and let go of threads and files."""
        await in_thread(self.reader.stop)
        await self.engine.aclose()
        self._presence.close()
