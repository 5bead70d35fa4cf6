"""The file: who may read it, and what is refused in its place."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from stat import S_IMODE

import pytest

from tests.conformance_store.cast import alice
from wsauth.errors import ConfigurationError, Refused
from wsauth.stores.sqlite.store import SQLiteStore


async def test_nobody_else_may_read_it(path: Path) -> None:
    """The file and everything beside it is made for its owner alone, whatever the mask is."""
    mask = os.umask(0)
    try:
        store = SQLiteStore(path)
        await store.open()
        await store.users.add(alice())
        modes = {file.name: S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        await store.aclose()
    finally:
        os.umask(mask)
    assert modes == dict.fromkeys(("wsauth.db", "wsauth.db-lock", "wsauth.db-shm", "wsauth.db-wal"), 0o600)


async def test_what_was_written_is_there_when_it_is_opened_again(path: Path) -> None:
    """A store is a file, and outlives its processes."""
    for _ in range(2):
        store = SQLiteStore(path)
        await store.open()
        if await store.users.find("alice") is None:
            await store.users.add(alice())
        assert await store.users.count() == 1
        await store.aclose()


async def test_a_store_of_a_newer_release_is_refused(store: SQLiteStore, path: Path) -> None:
    """An older release does not touch what it does not know."""
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE wsauth_version SET version_num = '9999'")
    before = path.read_bytes()
    newer = SQLiteStore(path)
    with pytest.raises(ConfigurationError, match=r"made by a newer release of wsauth .*9999"):
        await newer.open()
    assert path.read_bytes() == before


async def test_another_applications_database_is_refused(path: Path) -> None:
    """Nothing is added to a file of somebody else."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE customers (id)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="a database of something else"):
        await SQLiteStore(path).open()
    assert path.read_bytes() == before


async def test_what_is_no_database_is_refused(path: Path) -> None:
    """A text file is not overwritten."""
    path.write_text("to whom it may concern\n" * 100)
    with pytest.raises(ConfigurationError, match="cannot be opened: file is not a database"):
        await SQLiteStore(path).open()
    assert path.read_text().startswith("to whom")


async def test_a_missing_folder_is_not_made(path: Path) -> None:
    """The line says which file, and what it needs."""
    with pytest.raises(ConfigurationError, match=r"nowhere/wsauth\.db cannot be opened: .*a folder that exists"):
        await SQLiteStore(path.parent / "nowhere" / "wsauth.db").open()


async def test_a_store_that_is_not_open_is_unavailable(path: Path) -> None:
    """Neither before it is opened nor after it is closed."""
    store = SQLiteStore(path)
    with pytest.raises(Refused, match="the store is closed"):
        await store.users.count()
    await store.open()
    await store.aclose()
    await store.aclose()
    with pytest.raises(Refused, match="the store is closed"):
        await store.users.add(alice())
