"""Reading the feed: everything arrives, wherever it was written, and silence means that nothing was read."""

import threading
import time
from functools import partial
from itertools import pairwise

import pytest

from tests.conformance_store.processes import another
from tests.conformance_store.reading import Reading, eventually
from wsauth.core.feed import NewRow
from wsauth.interfaces.feed import Seen
from wsauth.interfaces.store import Store

LATER = time.time() + 3600


def row(key: str, *, keep_until: float = LATER) -> NewRow:
    return NewRow(kind="token", key=key, keep_until=keep_until)


async def test_the_first_word_has_all_live_rows(store: Store) -> None:
    """A process that starts knows everything that still counts before anything else."""
    await store.feed.publish([row("a"), row("ended", keep_until=time.time() - 1), row("b")])
    with Reading(store) as reading:
        await eventually(lambda: reading.seen)
        assert [found.key for found in reading.seen[0].rows] == ["a", "b"]


async def test_an_empty_feed_is_told_as_well(store: Store) -> None:
    """A process on a new store learns that there is nothing."""
    with Reading(store) as reading:
        await eventually(lambda: reading.seen)
        assert list(reading.seen[0].rows) == []


async def test_rows_arrive_once_and_within_a_moment(store: Store) -> None:
    """Each row is told once; none waits for the next second."""
    with Reading(store) as reading:
        await eventually(lambda: reading.seen)
        began = time.monotonic()
        for number in range(20):
            await store.feed.publish([row(str(number))])
        store.reader.poke()
        await eventually(lambda: len(reading.rows) >= 20)
        assert time.monotonic() - began < 5
        told = len(reading.seen)
        await eventually(lambda: len(reading.seen) > told + 6)
        assert [found.key for found in reading.rows] == [str(number) for number in range(20)]


async def test_rows_of_another_process_arrive(store: Store, url: str) -> None:
    """What another process writes is told here."""
    with Reading(store) as reading:
        async with another(url, "publish", "from afar", LATER) as process:
            await process.go()
            assert await process.said() == "from afar"
            await eventually(lambda: "from afar" in [found.key for found in reading.rows])


async def test_reading_is_told_all_the_time(store: Store) -> None:
    """With nothing to tell, a word comes four times a second, and says when its read began."""
    with Reading(store) as reading:
        await eventually(lambda: len(reading.seen) >= 12)
    times = [seen.read_at for seen in reading.seen]
    assert times == sorted(times)
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    assert gaps[len(gaps) // 2] <= 0.25


async def test_a_read_began_before_its_moment(store: Store) -> None:
    """What was committed before the moment that a word names is in it, or was before."""
    with Reading(store) as reading:
        for number in range(30):
            await store.feed.publish([row(str(number))])
            committed_at = time.time()
            await eventually(partial(reading.has_read_since, committed_at))
            assert str(number) in [found.key for found in reading.rows]


async def test_a_listener_that_raises_is_told_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Rows that could not be handed over are not lost."""
    told: list[Seen] = []
    failed = threading.Event()

    def tell(seen: Seen) -> None:
        if seen.rows and not failed.is_set():
            failed.set()
            raise ValueError("not now")
        told.append(seen)

    await store.feed.publish([row("a")])
    store.reader.start(tell, time.time)
    await eventually(lambda: [found.key for seen in told for found in seen.rows] == ["a"])
    store.reader.stop()
    assert "not now" in caplog.text


async def test_a_stopped_reader_is_silent(store: Store) -> None:
    """After `stop` no word comes, no thread is left, and it can be started again."""
    threads = threading.active_count()
    with Reading(store) as reading:
        await eventually(lambda: reading.seen)
    told = len(reading.seen)
    await store.feed.publish([row("a")])
    assert len(reading.seen) == told
    assert threading.active_count() == threads
    with Reading(store) as again:
        await eventually(lambda: again.rows)
