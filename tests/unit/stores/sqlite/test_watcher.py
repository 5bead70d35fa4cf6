"""The watcher: silent while it cannot read, and loud when the file is not what it was."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance_store.cast import alice
from tests.conformance_store.reading import Reading, eventually
from wsauth.core.feed import NewRow
from wsauth.stores.sqlite.store import SQLiteStore

LATER = time.time() + 3600


def row(key: str) -> NewRow:
    return NewRow(kind="token", key=key, keep_until=LATER)


async def test_a_replaced_file_is_an_alarm_and_read_again(store: SQLiteStore, path: Path, copied: Path) -> None:
    """With the alarm come all rows of the new file, whatever their numbers are, and the next ones follow."""
    for key in "abc":
        await store.feed.publish([row(key)])
    with closing(sqlite3.connect(copied)) as other, other:
        other.execute(
            "INSERT INTO feed (kind, key, value, keep_until, at) VALUES ('token', 'theirs', '{}', ?, 0)", (LATER,)
        )
    with Reading(store) as reading:
        await eventually(lambda: len(reading.rows) == 3)
        copied.replace(path)
        await eventually(lambda: reading.alarms)
        (loud,) = [seen for seen in reading.seen if seen.alarm]
        assert loud.alarm == "the store's file was replaced"
        assert [found.key for found in loud.rows] == ["theirs"]
        await store.feed.publish([row("next")])
        await eventually(lambda: reading.rows[-1].key == "next")
        assert len(reading.alarms) == 1


async def test_numbers_that_go_back_are_an_alarm(store: SQLiteStore, path: Path) -> None:
    """Somebody wrote an older state into the same file: it is noticed within a second or two, and read again."""
    await store.feed.publish([row("a"), row("b")])
    with Reading(store) as reading:
        await eventually(lambda: len(reading.rows) == 2)
        with closing(sqlite3.connect(path, timeout=5)) as other, other:
            other.execute("DELETE FROM feed WHERE seq = 2")
            other.execute("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'feed'")
        await eventually(lambda: reading.alarms)
        (loud,) = [seen for seen in reading.seen if seen.alarm]
        assert loud.alarm == "the numbers of the feed went back"
        assert [found.key for found in loud.rows] == ["a"]
        await store.feed.publish([row("c")])
        await eventually(lambda: reading.rows[-1].key == "c")
        assert len(reading.alarms) == 1


async def test_without_the_file_it_is_silent(store: SQLiteStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Silence is how a process learns that it may grant nothing; the log says why, once; then it goes on."""
    with Reading(store) as reading:
        await eventually(lambda: reading.seen)
        aside = path.rename(path.with_name("aside.db"))
        await eventually(lambda: caplog.records)
        told = len(reading.seen)
        await asyncio.sleep(0.6)  # three words would have come
        assert len(reading.seen) == told
        assert [record.message for record in caplog.records] == [
            "the feed of revocations cannot be read: unavailable: the store's file is gone"
        ]
        aside.rename(path)
        await eventually(lambda: len(reading.seen) > told + 2)
        assert reading.alarms == []
        await store.feed.publish([row("a")])
        await eventually(lambda: reading.rows)


async def test_a_reader_that_starts_again_finds_another_log(store: SQLiteStore, path: Path) -> None:
    """Whoever closes the file last removes `-wal`, as it should be; what is there later is no alarm."""
    with Reading(store) as reading:
        await eventually(lambda: reading.seen)
    path.with_name("takes its inode").touch()
    await store.feed.publish([row("a")])
    with Reading(store) as again:
        await eventually(lambda: again.rows)
    assert again.alarms == []


async def test_a_locked_store_is_read(store: SQLiteStore, path: Path) -> None:
    """Whoever writes for a long time keeps no process from reading."""
    with Reading(store) as reading, closing(sqlite3.connect(path, isolation_level=None)) as other:
        await eventually(lambda: reading.seen)
        other.execute("BEGIN IMMEDIATE")
        began = time.time()
        await eventually(lambda: reading.has_read_since(began + 0.5))
        other.execute("ROLLBACK")


async def test_the_store_can_shrink_its_log_while_it_is_read(store: SQLiteStore, path: Path) -> None:
    """The watcher stays in no transaction, so that what is committed can leave the `-wal` file."""
    with Reading(store) as reading:
        await eventually(lambda: reading.seen)
        await store.users.add(alice())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert path.with_name("wsauth.db-wal").stat().st_size == 0
