"""Changes are in the audit log with the transaction that makes them, and not without it."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from wsauth.core import events
from wsauth.core.audit import Chain, check
from wsauth.errors import Refused
from wsauth.interfaces.audit import Query, recording
from wsauth.services.keyfile import KeyFile
from wsauth.stores.sql.engine import Transaction
from wsauth.stores.sqlite.audit import DecisionFile
from wsauth.stores.sqlite.store import SQLiteStore

SIGN = KeyFile.in_memory().mac("audit").sign


def _event(subject: str, at: float = 1.0) -> events.UserChanged:
    return events.UserChanged(at=at, subject=subject, what="rights")


async def _change(store: SQLiteStore, name: str, at: float = 1.0) -> None:
    def work(transaction: Transaction) -> None:
        transaction.run("INSERT INTO facts (name, value) VALUES (:name, '')", {"name": name})
        if name == "bad":
            raise Refused("conflict", "no")

    with recording(lambda _: _event(name, at)):
        await store.engine.write(work)


async def _opened(path: Path) -> SQLiteStore:
    store = SQLiteStore(path / "wsauth.db")
    await store.open()
    store.audit.record("n-c", "n", SIGN)
    return store


async def test_a_change_has_its_entry_and_only_what_happened_has_one(tmp_path: Path) -> None:
    """Works that wait together are undone one by one, with their entries."""
    store = await _opened(tmp_path)
    done = await asyncio.gather(*(_change(store, name) for name in ("a", "bad", "b", "c")), return_exceptions=True)
    assert [type(one) for one in done] == [type(None), Refused, type(None), type(None)]
    rows = store.audit.read(Query())
    assert [msgspec.json.decode(row.entry)["subject"] for row in rows] == ["a", "b", "c"]
    assert [row.number for row in rows] == [1, 2, 3]
    assert check(store.audit.chains(), {"store": store.audit.heads()}, SIGN) == []
    await store.aclose()


async def test_no_change_without_its_entry(tmp_path: Path) -> None:
    """Where the entry cannot be written, the change is undone."""
    store = await _opened(tmp_path)
    with sqlite3.connect(tmp_path / "wsauth.db") as other:
        other.execute("DROP TABLE audit")
    with pytest.raises(sqlite3.OperationalError):
        await _change(store, "a")
    assert await store.engine.read(lambda transaction: transaction.one("SELECT 1 FROM facts WHERE name = 'a'")) is None
    await store.aclose()


async def test_retention_removes_the_beginning(tmp_path: Path) -> None:
    """What is too old goes in both files, the rest is still whole, and the chain goes on."""
    store = await _opened(tmp_path)
    for at in range(6):
        await _change(store, f"user {at}", float(at))
    chain = Chain("n-d", SIGN)
    store.audit.sink.write([chain.link(float(at), "x", b'{"at":%d.0,"event":"x"}' % at) for at in range(6)])
    store.audit.keep_head(chain.head())
    store.audit.remove_before(4.0, SIGN)
    store.audit.remove_before(4.0, SIGN)
    assert [(row.number, row.event) for row in store.audit.chains()] == [
        (4, "audit_segment"), (5, "authz_change"), (6, "authz_change"), (4, "audit_segment"), (5, "x"), (6, "x"),
    ]  # fmt: skip
    await _change(store, "late", 7.0)
    store.audit.remove_before(100.0, SIGN)
    await _change(store, "later", 101.0)
    assert check(store.audit.chains(), {"store": store.audit.heads()}, SIGN) == []
    assert [row.number for row in store.audit.read(Query(limit=1, newest=True))] == [8]
    await store.aclose()


def test_the_file_of_decisions_is_for_its_owner(tmp_path: Path) -> None:
    """Nobody else reads who came from where."""
    store = SQLiteStore(tmp_path / "wsauth.db")
    store.audit.sink.write([])
    assert (tmp_path / "wsauth-audit.db").stat().st_mode & 0o777 == 0o600
    store.audit.sink.close()


def test_another_process_that_reads_takes_nothing_away(tmp_path: Path) -> None:
    """What is written after this process and another have read the decisions is there for a third."""
    sink, chain = DecisionFile(tmp_path / "wsauth-audit.db"), Chain("n-d", SIGN)
    sink.write([chain.link(1.0, "x", b"{}")])
    assert len(sink.read(Query())) == 1
    assert _counted_elsewhere(sink.path) == 1
    sink.write([chain.link(2.0, "x", b"{}")])
    assert _counted_elsewhere(sink.path) == 2
    sink.close()


def _counted_elsewhere(path: Path) -> int:
    """Return how many entries a process of its own reads, which closes the file again."""
    look = (
        "import sqlite3, sys; file = sqlite3.connect(sys.argv[1]); "
        "print(*file.execute('SELECT COUNT(*) FROM audit').fetchone()); file.close()"
    )
    return int(subprocess.run([sys.executable, "-c", look, str(path)], check=True, capture_output=True).stdout)
