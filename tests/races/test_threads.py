"""Real threads: several loops, each with services of its own, over one store, all at the same moment."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

from tests.issuing import SteppedClock
from tests.unit.services.ground import CHANGED, PASSWORD, Ground, ground
from wsauth.core.identity import Identity
from wsauth.errors import Refused
from wsauth.interfaces.sessions import Known

T = TypeVar("T")
THREADS = 4


def at_once(folder: Path, *works: Callable[[Ground], Awaitable[T]]) -> list[T]:
    """Do each work in a thread and a loop of its own, begun together, and return what came of each."""
    barrier = Barrier(len(works))

    def run(work: Callable[[Ground], Awaitable[T]]) -> T:
        async def do() -> T:
            async with ground(folder) as it:
                await asyncio.to_thread(barrier.wait, 30)
                return await work(it)

        return asyncio.run(do())

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))


async def prepared(folder: Path) -> tuple[Known, str, str]:
    """Add Alice, log her in, and make a ticket."""
    async with ground(folder) as it:
        await it.alice()
        known = await it.sessions.login("alice", PASSWORD, "tokens")
        ticket = await it.tickets.issue(Identity("alice", issuer="https://login.example.com"), None, None)
        return known, it.sessions.refresh_token(known.session), ticket


async def codes(works: Sequence[Awaitable[Any]]) -> Counter[str]:
    """Count what came of works: the code of the refusal, or `good`."""
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    return Counter(outcome.code if isinstance(outcome, Refused) else "good" for outcome in outcomes)


def test_fifty_refreshes_in_four_threads_have_one_successor(tmp_path: Path) -> None:
    """Whichever thread came first: everybody has the same next token."""
    _, token, _ = asyncio.run(prepared(tmp_path))

    async def refresh(it: Ground) -> set[str]:
        done = await asyncio.gather(*(it.sessions.refresh(token) for _ in range(50 // THREADS)))
        return {it.sessions.refresh_token(after.session) for after in done}

    successors = set().union(*at_once(tmp_path, *[refresh] * THREADS))
    assert len(successors) == 1


def test_of_a_hundred_redemptions_in_four_threads_one_is_good(tmp_path: Path) -> None:
    """One ticket, a hundred tries."""
    *_, ticket = asyncio.run(prepared(tmp_path))

    async def redeem(it: Ground) -> Counter[str]:
        return await codes([it.tickets.redeem(ticket, "/ws", "") for _ in range(100 // THREADS)])

    assert sum(at_once(tmp_path, *[redeem] * THREADS), Counter[str]()) == {"good": 1, "ticket_invalid": 99}


def test_logins_against_a_disabling_leave_nobody_in(tmp_path: Path) -> None:
    """Three threads log Alice in over and over while the fourth disables her: no session is left."""
    asyncio.run(prepared(tmp_path))

    async def login(it: Ground) -> Counter[str]:
        return await codes([it.sessions.login("alice", PASSWORD, "tokens") for _ in range(10)])

    async def disable(it: Ground) -> Counter[str]:
        await asyncio.sleep(0.01)
        await it.users.disable("alice")
        return Counter()

    outcomes = sum(at_once(tmp_path, login, login, login, disable), Counter[str]())
    # To the disabled, every further attempt is one at guessing.
    assert set(outcomes) <= {"good", "credentials_invalid", "account_locked"}
    assert asyncio.run(live(tmp_path)) == []


def test_logins_against_a_password_change_are_of_the_new_epoch(tmp_path: Path) -> None:
    """Logins with the old and the new password race with the change: what lives is of the epoch of now.

    They are fewer than the tries of an account, since those under way at once count as wrong until they are not.
    """
    known, *_ = asyncio.run(prepared(tmp_path))

    async def login(it: Ground) -> Counter[str]:
        works = [it.sessions.login("alice", PASSWORD if n % 2 else CHANGED, "tokens") for n in range(3)]
        return await codes(works)

    async def change(it: Ground) -> Counter[str]:
        await it.change_password(known)
        return Counter()

    at_once(tmp_path, login, login, change, login)
    sessions = asyncio.run(live(tmp_path))
    assert known.session.id in {session.id for session in sessions}
    assert len({session.epoch for session in sessions}) == 1
    assert sessions[0].epoch > known.session.epoch


def test_refreshes_against_logout_everywhere_leave_nothing(tmp_path: Path) -> None:
    """Two threads carry sessions on while two end all logins: afterwards no token goes on."""
    _, token, _ = asyncio.run(prepared(tmp_path))

    async def carry_on(it: Ground) -> str:
        newest = token
        while True:
            try:
                newest = it.sessions.refresh_token((await it.sessions.refresh(newest)).session)
            except Refused:
                return newest

    async def end(it: Ground) -> str:
        await asyncio.sleep(0.05)
        await it.sessions.end_all("alice")
        return token

    tokens = at_once(tmp_path, carry_on, end)
    assert asyncio.run(live(tmp_path)) == []

    async def dead(it: Ground) -> Counter[str]:
        return await codes([it.sessions.refresh(token) for token in tokens])

    assert at_once(tmp_path, dead) == [{"session_revoked": len(tokens)}]


async def live(folder: Path) -> list[Any]:
    """Return Alice's live sessions."""
    async with ground(folder, SteppedClock()) as it:
        return list(await it.sessions.of("Alice"))
