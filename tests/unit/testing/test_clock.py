"""wsauth.testing.clock: time passes when the test says so, and in order."""

import asyncio
import threading
from collections.abc import Generator

import pytest

from wsauth.testing import FakeClock

NOON = 1_800_000_000.0


@pytest.fixture
def other_loop() -> Generator[asyncio.AbstractEventLoop]:
    """Run an event loop in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_it_stands_still_until_moved() -> None:
    """Time passes by exactly what the test says."""
    clock = FakeClock(NOON)
    assert clock.now() == NOON
    clock.advance(1.5)
    assert clock.now() == NOON + 1.5


def test_it_does_not_go_back() -> None:
    """A negative step is refused, since a clock of wsauth never goes back."""
    clock = FakeClock(NOON)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    assert clock.now() == NOON


async def test_calls_come_in_order_each_at_its_time() -> None:
    """What is due is called in order of its time, and sees that time."""
    clock = FakeClock(NOON)
    seen: list[float] = []
    for delay in (3, 1, 2):
        clock.call_at(NOON + delay, lambda: seen.append(clock.now() - NOON))
    clock.advance(2.5)
    assert seen == [1, 2]
    clock.advance(0.5)
    assert seen == [1, 2, 3]


async def test_a_call_that_asks_for_another_gets_it_in_the_same_step() -> None:
    """A timer that sets itself again comes due as often as the step is long."""
    clock = FakeClock(NOON)
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(clock.now() - NOON)
        clock.call_at(clock.now() + 1, tick)

    clock.call_at(NOON + 1, tick)
    clock.advance(3)
    assert ticks == [1, 2, 3]


async def test_a_cancelled_call_is_not_made() -> None:
    """A timer that was cancelled never fires, and cancelling twice is harmless."""
    clock = FakeClock(NOON)
    seen: list[str] = []
    timer = clock.call_at(NOON + 1, lambda: seen.append("fired"))
    timer.cancel()
    timer.cancel()
    clock.advance(2)
    assert seen == []


async def test_what_is_past_is_called_by_the_loop() -> None:
    """A call for a time that is past comes without moving the clock, but not from within `call_at`."""
    clock = FakeClock(NOON)
    called = asyncio.Event()
    clock.call_at(NOON, called.set)
    assert not called.is_set()
    async with asyncio.timeout(5):
        await called.wait()


def test_calls_are_made_on_the_loop_that_asked(other_loop: asyncio.AbstractEventLoop) -> None:
    """A clock moved in one thread calls in the thread whose loop asked, and waits until that is done."""
    clock = FakeClock(NOON)
    threads: list[int] = []

    async def ask() -> int:
        clock.call_at(NOON + 1, lambda: threads.append(threading.get_ident()))
        return threading.get_ident()

    asked = asyncio.run_coroutine_threadsafe(ask(), other_loop).result(5)
    clock.advance(1)
    assert threads == [asked]
    assert asked != threading.get_ident()


def test_an_error_in_another_thread_is_raised_here(other_loop: asyncio.AbstractEventLoop) -> None:
    """An exception of a callback reaches the test that moved the clock."""
    clock = FakeClock(NOON)

    def fail() -> None:
        raise LookupError("of the callback")

    async def ask() -> None:
        clock.call_at(NOON + 1, fail)

    asyncio.run_coroutine_threadsafe(ask(), other_loop).result(5)
    with pytest.raises(LookupError, match="of the callback"):
        clock.advance(1)


def test_a_loop_that_has_ended_is_not_waited_for() -> None:
    """Timers of a loop that is gone are dropped."""
    clock = FakeClock(NOON)
    seen: list[str] = []

    async def ask() -> None:
        clock.call_at(NOON + 1, lambda: seen.append("fired"))

    asyncio.run(ask())
    clock.advance(1)
    assert seen == []
    assert clock.now() == NOON + 1
