"""Who is kept out."""

import msgspec

from tests.conformance_store.cast import NOW
from tests.conformance_store.reading import rows_of
from wsauth.core.blocks import Block
from wsauth.interfaces.store import Store


def block(network: str, *, until: float | None = None, automatic: bool = False) -> Block:
    return Block(network=network, until=until, automatic=automatic, reason="scans", created_at=NOW)


async def test_blocks_are_kept_until_their_end(store: Store) -> None:
    """What was added is what is there, in order, each change writes a row, and what is over is forgotten."""
    lasting, short = block("10.0.0.0/8"), block("203.0.113.7/32", until=NOW + 10, automatic=True)
    assert await store.blocks.add(short)
    assert await store.blocks.add(lasting)
    assert await store.blocks.all(NOW) == [lasting, short]
    assert await store.blocks.all(NOW + 10) == [lasting]
    await store.blocks.prune(NOW + 10)
    assert await store.blocks.all(NOW) == [lasting]
    assert await store.blocks.remove("10.0.0.0/8")
    assert not await store.blocks.remove("10.0.0.0/8")
    assert [row.kind for row in await rows_of(store)] == ["blocks", "blocks", "blocks"]


async def test_an_automatic_block_takes_no_others_place(store: Store) -> None:
    """What somebody ordered stays as it is; an order takes any place, and what is over has none."""
    ordered, automatic = block("10.0.0.0/8"), block("10.0.0.0/8", until=NOW + 10, automatic=True)
    assert await store.blocks.add(automatic)
    assert await store.blocks.add(ordered)
    assert not await store.blocks.add(automatic)
    assert await store.blocks.all(NOW) == [ordered]
    over = block("192.0.2.0/24", until=NOW - 1)
    again = msgspec.structs.replace(over, until=NOW + 5, automatic=True)
    assert await store.blocks.add(over)
    assert await store.blocks.add(again)
    assert await store.blocks.all(NOW) == [ordered, again]
