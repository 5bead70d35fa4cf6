"""The writer and the reader: what is committed together, what fails alone, and what becomes of a store in trouble."""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance_store.cast import alice, bob
from tests.conformance_store.reading import PATIENCE
from wsauth.core.users import User
from wsauth.errors import Refused
from wsauth.stores.sql.engine import Transaction
from wsauth.stores.sqlite.store import SQLiteStore


def add(name: str) -> Callable[[Transaction], int]:
    return lambda transaction: transaction.run("INSERT INTO facts VALUES (:name, '')", {"name": name})


def names(transaction: Transaction) -> list[str]:
    return [str(name) for (name,) in transaction.all("SELECT name FROM facts ORDER BY name")]


async def unavailable(store: SQLiteStore, *, because: str) -> None:
    """Check that a write is refused, for this reason, and that the store says so."""
    with pytest.raises(Refused, match=because) as refused:
        await store.users.add(bob())
    assert (refused.value.code, refused.value.retry_after) == ("unavailable", 1)
    assert not store.reachable


async def available(store: SQLiteStore, name: str) -> None:
    """Wait until a write comes through, and check that the store says so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await store.users.add(User(username=name))
            except Refused:
                await asyncio.sleep(0.02)
                continue
            break
    assert store.reachable
    assert await store.users.find(name) is not None


async def test_what_waits_together_is_committed_together(store: SQLiteStore, path: Path) -> None:
    """A thousand works that come at once are few transactions."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        held = asyncio.gather(*(store.engine.write(add(f"{number:04}")) for number in range(1000)))
        commits, version = 0, other.execute("PRAGMA data_version").fetchall()
        while not held.done():
            await asyncio.sleep(0)
            now = other.execute("PRAGMA data_version").fetchall()
            commits += now != version
            version = now
        await held
    assert 1 <= commits <= 8
    assert len(await store.engine.read(names)) == 1000


async def test_work_that_raises_is_undone_alone(store: SQLiteStore) -> None:
    """Only its caller hears of it; what was done before and after it in the same transaction stays."""

    def fail(transaction: Transaction) -> None:
        add("never")(transaction)
        raise ValueError("changed my mind")

    done = await asyncio.gather(
        store.engine.write(add("a")), store.engine.write(fail), store.engine.write(add("b")), return_exceptions=True
    )
    assert [type(result) for result in done] == [int, ValueError, int]
    assert await store.engine.read(names) == ["a", "b"]
    assert store.reachable


async def test_bugs_stay_bugs(store: SQLiteStore) -> None:
    """A row that is there twice, or a statement that is none, is no trouble of the disk."""
    await store.engine.write(add("a"))
    with pytest.raises(sqlite3.IntegrityError):
        await store.engine.write(add("a"))
    with pytest.raises(sqlite3.OperationalError, match="syntax"):
        await store.engine.write(lambda transaction: transaction.run("NONSENSE"))
    assert store.reachable


async def test_a_commit_that_fails_is_told_to_all(store: SQLiteStore) -> None:
    """Whoever was in the transaction hears that it did not happen, and it did not."""

    def orphan(transaction: Transaction) -> None:
        transaction.run("PRAGMA defer_foreign_keys = ON")
        transaction.run(
            "INSERT INTO sessions (id, subject, kind, generation, generation_at, epoch, created_at, refreshed_at,"
            " address, agent) VALUES ('s', 'mallory', 'tokens', 0, 0, 0, 0, 0, '', '')"
        )

    done = await asyncio.gather(store.engine.write(add("a")), store.engine.write(orphan), return_exceptions=True)
    assert [type(result) for result in done] == [sqlite3.IntegrityError, sqlite3.IntegrityError]
    assert await store.engine.read(names) == []
    await available(store, "bob")


async def test_a_reader_writes_nothing(store: SQLiteStore) -> None:
    """A work that was given to the wrong thread is refused by SQLite itself."""
    with pytest.raises(Refused, match="readonly"):
        await store.engine.read(add("a"))
    assert await store.engine.read(names) == []


async def test_a_cancelled_work_that_waits_is_left_out(store: SQLiteStore) -> None:
    """What nobody waits for any more is not done, and the rest is."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> bool:
        begun.set()
        return go_on.wait(PATIENCE)

    holding = asyncio.ensure_future(store.engine.write(hold))
    await asyncio.to_thread(begun.wait, PATIENCE)
    works = [asyncio.ensure_future(store.engine.write(add(name))) for name in ("a", "b", "c")]
    await asyncio.sleep(0)
    works[1].cancel()
    go_on.set()
    assert await holding
    assert [await works[0], await works[2]] == [1, 1]
    assert await store.engine.read(names) == ["a", "c"]


async def test_closing_finishes_what_waits_and_leaves_no_thread(path: Path) -> None:
    """What was asked for before is written; then no thread and no file is left open."""
    threads, files = threading.active_count(), set(os.listdir("/proc/self/fd"))
    store = SQLiteStore(path)
    await store.open()
    store.reader.start(lambda seen: None, time.time)
    works = [asyncio.ensure_future(store.engine.write(add(str(number)))) for number in range(300)]
    await asyncio.sleep(0)
    await store.aclose()
    assert await asyncio.gather(*works) == [1] * 300
    assert threading.active_count() == threads
    assert set(os.listdir("/proc/self/fd")) <= files
    assert not path.with_name("wsauth.db-wal").exists()


async def test_a_locked_store_is_unavailable_until_it_is_given_back(store: SQLiteStore, path: Path) -> None:
    """While another program holds the lock, writes are refused after a moment, and reads go on."""
    await store.users.add(alice())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            await unavailable(store, because="database is locked")
            assert await store.users.find("alice") is not None
        other.execute("ROLLBACK")
    await available(store, "bob")


async def test_a_full_disk_makes_it_unavailable_until_there_is_room(store: SQLiteStore) -> None:
    """Nobody in the transaction is told yes; what was there is read as before."""
    await store.users.add(alice())
    (pages,) = await store.engine.write(lambda transaction: transaction.one("PRAGMA page_count")) or (0,)
    await store.engine.write(lambda transaction: transaction.one(f"PRAGMA max_page_count = {pages}"))

    def fill(transaction: Transaction) -> None:
        transaction.run("INSERT INTO facts VALUES ('big', :value)", {"value": "x" * 1_000_000})

    done = await asyncio.gather(
        store.engine.write(add("a")), store.engine.write(fill), store.engine.write(add("b")), return_exceptions=True
    )
    assert [getattr(error, "code", None) for error in done] == ["unavailable"] * 3
    assert "full" in str(done[0])
    assert not store.reachable
    assert await store.engine.read(names) == []
    assert await store.users.find("alice") is not None
    await store.engine.write(lambda transaction: transaction.one("PRAGMA max_page_count = 1000000"))
    await available(store, "bob")


async def test_a_removed_file_is_not_made_again(store: SQLiteStore, path: Path) -> None:
    """Without the file nothing is answered and no empty store appears; with it everything is as it was."""
    await store.users.add(alice())
    aside = path.rename(path.with_name("aside.db"))
    for _ in range(2):
        await unavailable(store, because="file is gone")
        with pytest.raises(Refused, match="file is gone"):
            await store.users.find("alice")
    assert not path.exists()
    aside.rename(path)
    await available(store, "bob")
    assert await store.users.find("alice") is not None


async def test_a_folder_that_is_gone_is_no_crash(store: SQLiteStore, path: Path) -> None:
    """The whole folder is moved away and back."""
    await store.users.add(alice())
    folder = path.parent
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("a file in the folder's place")
    await unavailable(store, because="file is gone")
    folder.unlink()
    aside.rename(folder)
    await available(store, "bob")
    assert await store.users.find("alice") is not None


async def test_a_replaced_file_is_the_store_from_then_on(store: SQLiteStore, path: Path, copied: Path) -> None:
    """Two stores go over to another file: what they write is there for both and for those who open it later."""
    second = SQLiteStore(path)
    await second.open()
    await store.users.add(alice())
    assert await second.users.find("alice") is not None
    copied.replace(path)
    await available(store, "bob")
    await available(second, "carol")
    for each in (store, second):
        assert await each.users.find("alice") is None
        assert await each.users.count() == 2
        await each.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT username FROM users ORDER BY 1").fetchall() == [("bob",), ("carol",)]


async def test_what_went_into_a_file_that_is_gone_is_not_acknowledged(store: SQLiteStore, path: Path) -> None:
    """The file is taken away between the work and its commit: its caller is not told yes."""

    def work(transaction: Transaction) -> None:
        add("a")(transaction)
        path.rename(path.with_name("aside.db"))

    with pytest.raises(Refused, match="taken away"):
        await store.engine.write(work)
    assert not store.reachable


async def test_a_log_that_is_removed_is_noticed(store: SQLiteStore, path: Path) -> None:
    """What is committed into a removed `-wal` file would be lost, so it is not; a restart mends it."""
    await store.users.add(alice())

    def work(transaction: Transaction) -> None:
        add("a")(transaction)
        path.with_name("wsauth.db-wal").unlink()

    with pytest.raises(Refused, match="taken away"):
        await store.engine.write(work)
    await unavailable(store, because="-wal file was removed; restart every process")
    await store.aclose()
    again = SQLiteStore(path)
    await again.open()
    assert await again.users.find("alice") is not None
    await available(again, "bob")
    await again.aclose()


@pytest.mark.parametrize("content", [b"", b"to whom it may concern\n" * 1000], ids=["empty", "text"])
async def test_what_is_no_store_is_unavailable(store: SQLiteStore, path: Path, copied: Path, content: bytes) -> None:
    """A file that is no store is left as it is, until there is one in its place."""
    await store.users.add(alice())
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)
    for _ in range(2):
        await unavailable(store, because="no store of this release|not a database")
    assert path.read_bytes() == content
    copied.replace(path)
    await available(store, "bob")


async def test_too_much_that_waits_is_refused_at_once(store: SQLiteStore) -> None:
    """While the disk stands still, what waits is bounded."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> bool:
        begun.set()
        return go_on.wait(PATIENCE)

    holding = asyncio.ensure_future(store.engine.write(hold))
    await asyncio.to_thread(begun.wait, PATIENCE)
    works = [asyncio.ensure_future(store.engine.write(names)) for _ in range(21_000)]
    await asyncio.sleep(0)
    refused = [work for work in works if work.done()]
    go_on.set()
    assert len(refused) == 1000
    for work in refused:
        with pytest.raises(Refused, match="too much is waiting"):
            await work
    assert await holding
    await asyncio.gather(*(work for work in works if work not in set(refused)))
