"""What happens at once: in one process, in several, and in one that is killed."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from itertools import chain

import pytest

from tests.conformance_store.cast import LIMITS, NOW, login, ticket
from tests.conformance_store.processes import Process, another
from tests.conformance_store.reading import rows_of
from wsauth.core.users import User
from wsauth.interfaces.store import Store
from wsauth.stores import open_store


async def at_once(stack: AsyncExitStack, url: str, count: int, what: str, *arguments: object) -> list[Process]:
    starting = (stack.enter_async_context(another(url, what, *arguments)) for _ in range(count))
    processes = await asyncio.gather(*starting)
    await asyncio.gather(*(process.go() for process in processes))
    return processes


async def test_of_fifty_refreshes_one_rotates(store: Store, owner: User) -> None:
    """Fifty tabs come with one proof: one moves it on, and all have the same successor."""
    session = login(owner)
    assert await store.sessions.open(session)
    done = await asyncio.gather(*(store.sessions.refresh(session.id, 0, LIMITS, NOW) for _ in range(50)))
    assert Counter(refreshed.outcome for refreshed in done) == {"rotated": 1, "repeated": 49}
    assert {refreshed.known.session.generation for refreshed in done if refreshed.known is not None} == {1}


async def test_of_refreshes_in_four_processes_one_rotates(store: Store, url: str, owner: User) -> None:
    """The same, with processes that know nothing of each other."""
    session = login(owner)
    assert await store.sessions.open(session)
    async with AsyncExitStack() as stack:
        processes = await at_once(stack, url, 4, "refresh", session.id, 25)
        outcomes = Counter(chain(*[await process.said() for process in processes]))
    assert outcomes == {"rotated": 1, "repeated": 99}


async def test_of_a_hundred_redemptions_in_four_processes_one_is_told_yes(store: Store, url: str) -> None:
    """A ticket opens one socket, wherever it is tried."""
    async with AsyncExitStack() as stack:
        processes = await at_once(stack, url, 4, "burn", ticket(), 25)
        assert sum([await process.said() for process in processes]) == 1


async def test_a_name_is_given_to_one_of_four_processes(store: Store, url: str) -> None:
    """Of those who add Alice at once one does."""
    async with AsyncExitStack() as stack:
        processes = await at_once(stack, url, 4, "add", "alice")
        said = [await process.said() for process in processes]
    user = await store.users.find("alice")
    assert user is not None
    assert Counter(type(answer) for answer in said) == {int: 1, str: 3}
    assert "conflict" in said
    assert user.epoch in said


async def test_processes_that_start_at_once_make_one_schema(url: str) -> None:
    """Five processes open a database that is not there yet; all can use it."""
    async with AsyncExitStack() as stack:
        starting = (stack.enter_async_context(another(url, "add", f"user-{number}")) for number in range(5))
        processes = await asyncio.gather(*starting)
        for process in processes:
            await process.go()
        epochs = [await process.said() for process in processes]
    assert sorted(epochs) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("round_", range(3))
async def test_nothing_acknowledged_is_lost_by_a_kill(url: str, round_: int) -> None:
    """A process is killed while it writes; everybody whom it has named is there, with their row."""
    async with another(url, "add-many") as process:
        await process.go()
        acknowledged = [name for _ in range(5 + round_) for name in await process.said()]
        process.kill()
        while (names := await process.said()) is not None:
            acknowledged += names
    store = open_store(url)
    await store.open()
    try:
        told = {row.key: row.seq for row in await rows_of(store)}
        for name in acknowledged:
            user = await store.users.find(name)
            assert user is not None
            assert told[name] == user.epoch
        assert len(told) == await store.users.count()
    finally:
        await store.aclose()


async def test_a_login_and_the_end_of_all_logins_are_in_an_order(store: Store, owner: User) -> None:
    """Sessions that open while all are ended are either ended with them or not opened at all."""
    sessions = [login(owner) for _ in range(40)]
    opening = [store.sessions.open(session) for session in sessions]
    await asyncio.gather(*opening[:20], store.users.end_logins("alice"), *opening[20:])
    for session in sessions:
        assert await store.sessions.find(session.id, LIMITS, NOW) is None
        assert not await store.sessions.end(session.id)


async def test_of_two_password_changes_at_once_one_counts(store: Store, owner: User) -> None:
    """Both knew the old password; the second comes too late."""
    changes = [store.users.set_password("alice", f"new-{number}", seen_epoch=owner.epoch) for number in range(8)]
    done = [user for user in await asyncio.gather(*changes) if user is not None]
    assert done == [await store.users.find("alice")]


async def test_a_refresh_and_an_end_are_in_an_order(store: Store, owner: User) -> None:
    """Whatever a refresh was told, after the end the session is gone."""
    for _ in range(10):
        session = login(owner)
        assert await store.sessions.open(session)
        refreshing = [store.sessions.refresh(session.id, 0, LIMITS, NOW) for _ in range(10)]
        await asyncio.gather(*refreshing[:5], store.sessions.end(session.id), *refreshing[5:])
        assert (await store.sessions.refresh(session.id, 1, LIMITS, NOW)).outcome == "gone"


async def test_a_cancelled_caller_changes_nothing_for_others(store: Store) -> None:
    """Half of those who wait go away; the others get what they asked for."""
    tasks = [asyncio.create_task(store.users.add(User(username=f"user-{number}"))) for number in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(user, asyncio.CancelledError) for user in done[::2])
    assert {user.username for user in done[1::2] if isinstance(user, User)} == {f"user-{n}" for n in range(1, 40, 2)}
    assert await store.users.find("user-39") is not None
