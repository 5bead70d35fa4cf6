"""A store whose file the test takes away, locks and fills."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest

from wsauth.stores.sqlite.store import SQLiteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name the file."""
    return tmp_path / "wsauth.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SQLiteStore]:
    """Open a store that waits for a lock for 200 ms only."""
    store = SQLiteStore(path, busy_timeout=0.2)
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture
def copied(store: SQLiteStore, path: Path) -> Path:
    """Copy the store as it is at the beginning, as a backup does."""
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = WAL")
    return copy
