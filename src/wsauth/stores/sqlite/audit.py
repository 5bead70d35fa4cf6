"""The audit log of an SQLite store: changes in the store itself, decisions in a file of their own beside it."""

import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from heapq import merge
from pathlib import Path
from typing import Final

from wsauth.core.audit import Head, Row, Sign
from wsauth.core.events import Event
from wsauth.interfaces.audit import Query
from wsauth.stores.sql import audit as sql
from wsauth.stores.sql.engine import Transaction
from wsauth.stores.sqlite.engine import SQLiteEngine, Statements
from wsauth.stores.sqlite.file import DatabaseFile, make

__all__ = ["SQLiteAudit"]

_TABLES: Final = (
    (
        "CREATE TABLE IF NOT EXISTS audit (chain TEXT NOT NULL, number BIGINT NOT NULL, at DOUBLE NOT NULL, "
        "event TEXT NOT NULL, entry TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (chain, number)) WITHOUT ROWID"
    ),
    "CREATE INDEX IF NOT EXISTS audit_at ON audit (at)",
)
_PATIENCE: Final = 5.0
"""Seconds that a statement waits for other processes."""


class SQLiteAudit:
    """Keep the audit log of one store.

    Args:
        file: the store's.
        engine: of the store.

    Attributes:
        sink: takes decisions.
    """

    def __init__(self, file: DatabaseFile, engine: SQLiteEngine) -> None:
        self._file = file
        self._engine = engine
        self.sink = DecisionFile(file.path.with_name(f"{file.path.stem}-audit.db"))

    def record(self, chain: str, node: str, sign: Sign) -> None:
        """Write the entry of each change into the store, with the change, from now on."""
        self._engine.recorder = sql.ChainRecorder(chain, node, sign)

    def record_to(self, tell: Callable[[Event], None]) -> None:
        """Tell of each change once it is committed, instead."""
        self._engine.recorder = sql.Teller(tell)

    def last(self) -> Head | None:
        """Return the head of what `record` wrote; `None` before the first entry."""
        return None if self._engine.recorder is None else self._engine.recorder.last

    def keep_head(self, head: Head) -> None:
        """Keep the head of another chain in the store."""
        with self._transaction(writes=True) as transaction:
            sql.keep_head(transaction, head)

    def heads(self) -> Sequence[Head]:
        """Return all heads that the store keeps."""
        with self._transaction() as transaction:
            return sql.heads_of(transaction)

    def read(self, query: Query) -> Sequence[Row]:
        """Return entries in the order of their times."""
        with self._transaction() as transaction:
            changes = sql.read(transaction, query)
        decisions = self.sink.read(query)
        found = list(merge(changes, decisions, key=_place, reverse=query.newest))[: query.limit]
        return found[::-1] if query.newest else found

    def chains(self) -> Sequence[Row]:
        """Return all entries, those of a chain in order of their numbers, chain after chain."""
        everything = Query()
        with self._transaction() as transaction:
            changes = sql.read(transaction, everything, by_chain=True)
        return [*changes, *self.sink.read(everything, by_chain=True)]

    def remove_before(self, at: float, sign: Sign) -> None:
        """Remove older entries, and keep of each chain the tag of the last one removed."""
        with self._transaction(writes=True) as transaction:
            sql.remove_before(transaction, at, sign)
        self.sink.remove_before(at, sign)

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Generator[Transaction]:
        connection, _ = self._file.connect(writes=writes)
        try:
            with _transact(connection, writes=writes) as transaction:
                yield transaction
        finally:
            self._file.disconnect(connection)


class DecisionFile:
    """Keep decisions in a file of their own, which is made with the first of them.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def write(self, rows: Sequence[Row]) -> None:
        """Write entries in one transaction. Called by one thread.

        Raises:
            sqlite3.Error, OSError: it could not.
        """
        if self._connection is None or not self.path.exists():
            self.close()
            self._connection = self._connect()
        try:
            with _transact(self._connection, writes=True) as transaction:
                for row in rows:
                    sql.write_row(transaction, row)
        except BaseException:
            self.close()
            raise

    def read(self, query: Query, *, by_chain: bool = False) -> Sequence[Row]:
        """Return the entries that are asked for; none where there is no file yet."""
        if not self.path.exists():
            return []
        with closing(self._connect()) as connection, _transact(connection, writes=False) as transaction:
            return sql.read(transaction, query, by_chain=by_chain)

    def remove_before(self, at: float, sign: Sign) -> None:
        """Remove older entries."""
        if self.path.exists():
            with closing(self._connect()) as connection, _transact(connection, writes=True) as transaction:
                sql.remove_before(transaction, at, sign)

    def close(self) -> None:
        """Let go of the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        make(self.path)
        connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            for statement in _TABLES:
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def _transact(connection: sqlite3.Connection, *, writes: bool) -> Generator[Transaction]:
    """Give one transaction, committed when it was used without an error."""
    connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield Statements(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _place(row: Row) -> tuple[float, str, int]:
    return row.at, row.chain, row.number
