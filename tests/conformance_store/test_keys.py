"""Signing keys, and which key file opens them."""

import msgspec

from tests.conformance_store.cast import NOW
from tests.conformance_store.reading import rows_of
from wsauth.interfaces.keys import StoredKey
from wsauth.interfaces.store import Store


def key(name: str, *, algorithm: str = "ES256", at: float = NOW) -> StoredKey:
    return StoredKey(
        key_id=name, algorithm=algorithm, created_at=at, signs_from=at + 60, wrapped=b"\x00\xff" + b"w" * 40
    )


async def test_keys_are_kept_oldest_first(store: Store) -> None:
    """What was added is what is there, and each change writes a row."""
    newer, older = key("a", at=NOW + 1), key("b")
    assert await store.keys.all() == []
    assert await store.keys.add(newer)
    assert await store.keys.add(older)
    assert await store.keys.all() == [older, newer]
    assert [row.kind for row in await rows_of(store)] == ["keys", "keys"]


async def test_a_key_is_added_once(store: Store) -> None:
    """A second key of that name changes nothing."""
    assert await store.keys.add(key("a"))
    assert not await store.keys.add(msgspec.structs.replace(key("a"), wrapped=b"other"))
    assert await store.keys.all() == [key("a")]
    assert len(await rows_of(store)) == 1


async def test_a_first_key_is_only_added_where_there_is_none(store: Store) -> None:
    """Of processes that start at once one makes the key of each algorithm."""
    assert await store.keys.add(key("a"), only_if_none=True)
    assert not await store.keys.add(key("b"), only_if_none=True)
    assert await store.keys.add(key("c", algorithm="EdDSA"), only_if_none=True)
    assert await store.keys.add(key("b"))
    assert {found.key_id for found in await store.keys.all()} == {"a", "b", "c"}


async def test_a_key_is_removed(store: Store) -> None:
    """It is gone at once; nothing happens to one that is not there."""
    assert await store.keys.add(key("a"))
    assert await store.keys.remove("a")
    assert not await store.keys.remove("a")
    assert await store.keys.all() == []
    assert len(await rows_of(store)) == 2


async def test_the_first_key_file_stays(store: Store) -> None:
    """A store remembers the key file that it was made with."""
    assert await store.keys.fingerprint("first") == "first"
    assert await store.keys.fingerprint("second") == "first"
