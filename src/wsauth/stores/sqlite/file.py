"""The file: making it, opening it, and noticing that it is another one now.

SQLite keeps two files beside the database: `-wal` holds what was committed last, `-shm` its index. Both are found by
name. When somebody puts another database in the place of ours, those two are still of the old one, and SQLite would
read old pages into the new file. So whoever notices first removes them, under a lock that all processes share. And
when somebody removes `-wal` under running processes, what they commit goes nowhere: that is noticed as well.
"""

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final

from wsauth.errors import ConfigurationError, Refused
from wsauth.stores.migrations import HEAD, VERSION_TABLE, known

__all__ = ["DatabaseFile", "Identity", "Inode", "make", "refused", "trouble"]

Inode = tuple[int, int]
Identity = tuple[Inode, Inode | None]
"""Which file is there, and which `-wal` beside it: while somebody has them open, SQLite changes neither."""

_MIGRATING: Final = 60.0
"""Seconds that a process waits for another one that migrates."""

_TROUBLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""What happens to good statements; everything else is a bug of ours."""


def trouble(error: BaseException) -> bool:
    """Tell whether an error says that the store cannot be reached, and is no bug."""
    if isinstance(error, Refused):
        return error.code == "unavailable"
    if isinstance(error, OSError):
        return True
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _TROUBLE


def refused(error: BaseException) -> Refused:
    """Return the refusal that this trouble is, new for each caller."""
    reason = error.reason if isinstance(error, Refused) else f"the store: {error}"
    return Refused("unavailable", reason, retry_after=1)


class DatabaseFile:
    """Be the place of one database.

    Args:
        path: of the file.
        busy_timeout: seconds that a statement waits for other processes.
    """

    def __init__(self, path: str | os.PathLike[str], busy_timeout: float) -> None:
        self.path = Path(path).absolute()
        self._busy_timeout = busy_timeout
        self._mutex = Lock()
        self._connections = 0
        self._opened: Identity | None = None
        self._companions: dict[Path, Inode] = {}

    def identity(self) -> Identity | None:
        """Return which file is there; `None`: none is."""
        inode = _inode(self.path)
        return None if inode is None else (inode, _inode(self._beside("-wal")))

    def connect(self, *, writes: bool = False) -> tuple[sqlite3.Connection, Identity]:
        """Open the file that is there, never make one; in autocommit, for the calling thread.

        Raises:
            Refused: `unavailable`: there is none, or it is no store of this release.
            sqlite3.Error: it cannot be opened.
        """
        with self._mutex:
            before = self.identity()
            if before is None:
                raise Refused("unavailable", "the store's file is gone")
            if self._opened is not None and self._opened[0] != before[0]:
                self._check_other()
                self._leave_companions()
            connection = self._connect()
            try:
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA synchronous = FULL")
                if not writes:
                    connection.execute("PRAGMA query_only = ON")
                if _revision(connection) != HEAD:
                    raise Refused("unavailable", "the file in the store's place is no store of this release")
                identity = self.identity()
                if identity is None or identity[0] != before[0]:
                    raise Refused("unavailable", "the store's file was replaced this moment")
            except BaseException:
                connection.close()
                raise
            self._connections += 1
            self._opened = identity
            companions = (self._beside("-wal"), self._beside("-shm"))
            self._companions = {path: inode for path in companions if (inode := _inode(path)) is not None}
            return connection, identity

    def disconnect(self, connection: sqlite3.Connection) -> None:
        """Close a connection that `connect` has returned."""
        with self._mutex:
            connection.close()
            self._connections -= 1
            if not self._connections:
                # From now on the inodes may be those of other files.
                self._opened = None
                self._companions = {}

    def prepare(self) -> None:
        """Make the file if there is none, and bring it to the newest schema; of several processes one does it.

        Raises:
            ConfigurationError: it cannot be opened, or is no store, or one of a newer release.
        """
        try:
            with self._exclusively():
                make(self.path)
                with closing(self._connect()) as connection:
                    revision = self._check(connection)
                    # Kept in the file; changing it in a transaction is not possible.
                    connection.execute("PRAGMA journal_mode = WAL")
                if revision != HEAD:
                    self._migrate()
        except (OSError, sqlite3.Error) as error:
            text = error.strerror if isinstance(error, OSError) else str(error)
            mend = "it needs a folder that exists, on a local disk, which this user may write to"
            raise ConfigurationError(f"[store] url: {self.path} cannot be opened: {text}; {mend}") from error

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=self._busy_timeout,
            isolation_level=None,
            cached_statements=256,
        )

    def _check(self, connection: sqlite3.Connection) -> str | None:
        revision = _revision(connection)
        if revision is None and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise ConfigurationError(
                f"[store] url: {self.path} is a database of something else; name a file of its own"
            )
        if revision is not None and revision not in known():
            raise ConfigurationError(
                f"[store] url: {self.path} was made by a newer release of wsauth (its schema is {revision}, "
                f"this release knows up to {HEAD}); run that release, or name another file"
            )
        return revision

    def _migrate(self) -> None:
        from sqlalchemy import create_engine, event
        from sqlalchemy.pool import NullPool

        from wsauth.stores.migrations import migrate

        engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        migrate(engine)

    @contextmanager
    def _exclusively(self) -> Generator[None]:
        """Keep out every other process that does the same; the lock ends with the process, however it ends."""
        lock = self._beside("-lock")
        make(lock)
        with closing(sqlite3.connect(lock, timeout=_MIGRATING, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield

    def _check_other(self) -> None:
        """Look at the file in the place of ours without what is beside it, which is still of ours.

        SQLite removes the `-wal` beside an empty file, and with it what was committed last, should ours come back.
        """
        uri = f"{self.path.as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            if _revision(connection) != HEAD:
                raise Refused("unavailable", "the file in the store's place is no store of this release")

    def _leave_companions(self) -> None:
        # Those that are still the old ones: another process may have done this already. They are still open here, so
        # their inodes are nobody else's.
        with self._exclusively():
            for path, inode in self._companions.items():
                if _inode(path) == inode:
                    path.unlink()

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def _inode(path: Path) -> Inode | None:
    try:
        found = path.stat()
    except OSError:  # whatever keeps us from seeing it keeps SQLite from opening it
        return None
    return found.st_dev, found.st_ino


def make(path: Path) -> None:
    """Make an empty file that nobody else may read, where there is none; SQLite gives `-wal` and `-shm` the same mode.

    One that is there is not opened: closing it would take away every lock that this process has on it (fcntl(2)), and
    whoever closes it next would believe to be the last, and remove the `-wal` that we go on writing to.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _revision(connection: sqlite3.Connection) -> str | None:
    table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
    if not connection.execute(table, (VERSION_TABLE,)).fetchall():
        return None
    rows = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()  # noqa: S608  our own constant
    return str(rows[0][0]) if rows else None
