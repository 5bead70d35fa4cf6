"""One thread's connection, which is made anew where it can no longer be trusted."""

import sqlite3
from contextlib import suppress

from wsauth.errors import Refused
from wsauth.stores.sqlite.file import DatabaseFile, Identity, Inode

__all__ = ["Link"]


class Link:
    """Hold a connection for the one thread that calls this.

    An old connection is only closed when there is a new one: while it is open, nobody else gets the inodes of its
    files, by which `DatabaseFile` knows them.

    Attributes:
        inode: which file is open, or was last.
    """

    def __init__(self, file: DatabaseFile, *, writes: bool = False) -> None:
        self.inode: Inode | None = None
        self._file = file
        self._writes = writes
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._suspect = False

    def get(self) -> sqlite3.Connection:
        """Return a connection to the file that is there now.

        Raises:
            Refused: `unavailable`: there is none, or it is no store of this release, or its `-wal` file was removed.
            sqlite3.Error: it cannot be opened.
        """
        identity = self._file.identity()
        if identity is None:
            # If it comes back it may be the same, with what was committed beside it: the connection stays.
            raise Refused("unavailable", "the store's file is gone")
        if self._connection is not None and self._identity is not None:
            if identity == self._identity and not self._suspect:
                return self._connection
            if identity[0] == self._identity[0] and identity[1] != self._identity[1]:
                # The connections of a process share what they know of it, so a new one would be no better.
                raise Refused("unavailable", "the store's -wal file was removed; restart every process that uses it")
        connection, self._identity = self._file.connect(writes=self._writes)
        self.inode = self._identity[0]
        self.close()
        self._connection = connection
        return connection

    def check(self) -> None:
        """Make sure that what was just committed is in the file that others open.

        Raises:
            Refused: `unavailable`: it is not.
        """
        if self._file.identity() != self._identity:
            raise Refused("unavailable", "the store's file was taken away")

    def undo(self) -> None:
        """Leave the transaction that failed, if there is one."""
        # Whatever is wrong with it, SQLite leaves it at the latest when the connection is closed.
        with suppress(sqlite3.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.rollback()

    def suspect(self) -> None:
        """Have the next call of `get` connect anew."""
        self._suspect = True

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        self._suspect = False
        if connection is not None:
            self._file.disconnect(connection)
