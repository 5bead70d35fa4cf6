"""The thread that reads the feed: it polls a counter that SQLite keeps, which costs microseconds."""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Final

from wsauth.core.feed import Row
from wsauth.interfaces.feed import Seen
from wsauth.stores.sql.feed import FEED_COLUMNS, read_row
from wsauth.stores.sqlite.file import DatabaseFile, Inode
from wsauth.stores.sqlite.link import Link

__all__ = ["Watcher"]

_log = logging.getLogger("wsauth")

_POLL: Final = 0.05
_TELL: Final = 0.2
_LOOK: Final = 1.0
"""Seconds after which rows are read even when the counter has not moved, and numbers are checked."""

_ROWS: Final = f"SELECT {FEED_COLUMNS} FROM feed WHERE seq > :last AND keep_until > :now ORDER BY seq"  # noqa: S608  our own
_HIGHEST: Final = "SELECT seq FROM sqlite_sequence WHERE name = 'feed'"

_REPLACED: Final = "the store's file was replaced"
_WENT_BACK: Final = "the numbers of the feed went back"


class Watcher:
    """Read the feed, on a connection that never writes and never stays in a transaction."""

    def __init__(self, file: DatabaseFile) -> None:
        self._link = Link(file)
        self._thread: Thread | None = None
        self._tell: Callable[[Seen], None] = lambda seen: None
        self._now: Callable[[], float] = time.time
        self._wake = Event()
        self._stopping = False
        self._known: sqlite3.Connection | None = None
        self._inode: Inode | None = None
        self._alarm = ""
        self._version = -1
        self._last = 0
        """The largest number that was told."""
        self._highest = 0
        """The largest number that the file has ever shown."""
        self._looked_at = self._told_at = float("-inf")
        self._failing = False

    def start(self, tell: Callable[[Seen], None], now: Callable[[], float]) -> None:
        """Read all live rows, then go on; `tell` is called in the thread."""
        self._tell, self._now = tell, now
        self._stopping = False
        self._thread = Thread(target=self._run, name="wsauth-feed", daemon=True)
        self._thread.start()

    def poke(self) -> None:
        """Read at once."""
        self._wake.set()

    def stop(self) -> None:
        """Stop reading, and wait for the thread."""
        self._stopping = True
        self._wake.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                self._round()
                self._failing = False
            except Exception as error:  # noqa: BLE001  a thread that ended would never read again
                # Saying nothing is how the process learns of it: it grants nothing once it has waited too long.
                self._report(error)
                self._link.suspect()
            self._wake.wait(_POLL)
        self._known = None
        self._link.close()

    def _round(self) -> None:
        read_at = self._now()
        connection = self._get()
        version = connection.execute("PRAGMA data_version").fetchall()[0][0]
        looking = time.monotonic() - self._looked_at >= _LOOK
        rows: Sequence[Row] = ()
        if looking or version != self._version:
            if looking and not self._goes_on(connection):
                self._link.suspect()
                self._wake.set()
                return
            found = connection.execute(_ROWS, {"last": self._last, "now": read_at}).fetchall()
            rows = [read_row(record) for record in found]
        if rows or looking or time.monotonic() - self._told_at >= _TELL:
            self._tell(Seen(rows=rows, read_at=read_at, alarm=self._alarm))
            self._told_at = time.monotonic()
            self._alarm = ""
        # Only now: what could not be told is read again.
        self._version = version
        if rows:
            self._last = rows[-1].seq
        if looking:
            self._looked_at = time.monotonic()

    def _goes_on(self, connection: sqlite3.Connection) -> bool:
        """Tell whether numbers only grow; where they went back, everything has to be read again."""
        found = connection.execute(_HIGHEST).fetchall()
        highest = found[0][0] if found else 0
        if highest < self._highest:
            self._alarm = _WENT_BACK
            self._highest = highest
            return False
        self._highest = highest
        return True

    def _get(self) -> sqlite3.Connection:
        connection = self._link.get()
        inode = self._link.inode
        if connection is not self._known:
            self._known = connection
            self._last = 0
            self._looked_at = float("-inf")
            if self._inode not in {None, inode}:
                self._alarm = _REPLACED
                self._highest = 0
            self._inode = inode
        return connection

    def _report(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            _log.error("the feed of revocations cannot be read: %s", error)
