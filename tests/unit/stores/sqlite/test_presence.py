"""Who is there: a process that is suspended is counted, one that is gone is not."""

from pathlib import Path

from tests.conformance_store.processes import another
from wsauth.interfaces.feed import Node
from wsauth.stores import open_store


async def test_a_suspended_process_is_counted_until_it_is_gone(tmp_path: Path) -> None:
    """Who has not beaten for long is counted while the process exists, and no longer once it is killed."""
    url = f"sqlite:///{tmp_path}/wsauth.db"
    store = open_store(url)
    await store.open()
    await store.feed.beat(Node(id="here", beat_at=100.0))
    async with another(url, "beat", "suspended") as process:
        await process.go()
        assert await process.said() == "beaten"
        process.suspend()
        for _ in range(2):  # asking takes nobody their place
            assert [node.id for node in await store.feed.nodes(50.0)] == ["here", "suspended"]
        process.kill()
        await process.ended()
        assert [node.id for node in await store.feed.nodes(50.0)] == ["here"]
    await store.aclose()
    assert (tmp_path / "wsauth.db-nodes").stat().st_mode & 0o777 == 0o600


async def test_of_this_process_only_its_beats_tell(tmp_path: Path) -> None:
    """A process is no witness of itself: without beats it is not counted."""
    store = open_store(f"sqlite:///{tmp_path}/wsauth.db")
    await store.open()
    await store.feed.beat(Node(id="here", beat_at=1.0))
    assert await store.feed.nodes(50.0) == []
    await store.aclose()
