"""Sessions: how long they live, how their proofs move on, and who ends them."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tests.conformance_store.cast import LIMITS, NOW, login
from tests.conformance_store.reading import rows_of
from wsauth.core.sessions import Session, SessionKind
from wsauth.core.users import User
from wsauth.interfaces.store import Store

replace = msgspec.structs.replace


async def opened(store: Store, user: User, *, kind: SessionKind = "tokens", at: float = NOW) -> Session:
    session = login(user, kind=kind, at=at)
    assert await store.sessions.open(session)
    return session


async def test_a_session_is_found_with_its_user(store: Store, owner: User) -> None:
    """What was opened is what is found."""
    session = await opened(store, owner)
    known = await store.sessions.find(session.id, LIMITS, NOW)
    assert known is not None
    assert (known.session, known.user) == (session, owner)
    assert await store.sessions.find("x" * 32, LIMITS, NOW) is None


async def test_what_a_client_says_is_kept_short(store: Store, owner: User) -> None:
    """A program's name of a megabyte costs 200 characters, an address 64."""
    session = login(owner, agent="a" * 1_000_000, address="1" * 1000)
    assert await store.sessions.open(session)
    known = await store.sessions.find(session.id, LIMITS, NOW)
    assert known is not None
    assert (len(known.session.agent), len(known.session.address)) == (200, 64)


async def test_only_users_of_now_get_a_session(store: Store, owner: User) -> None:
    """No session opens for a user who is unknown, or of another epoch."""
    assert not await store.sessions.open(login(User(username="mallory", epoch=owner.epoch)))
    assert not await store.sessions.open(login(replace(owner, epoch=owner.epoch + 1)))
    assert not await store.sessions.open(login(replace(owner, epoch=owner.epoch - 1)))


@pytest.mark.parametrize(
    ("kind", "ends"), [("tokens", LIMITS.idle), ("cookie", LIMITS.idle), ("connection", 2 * LIMITS.access)]
)
async def test_a_session_ends_when_idle(store: Store, owner: User, kind: SessionKind, ends: float) -> None:
    """Until that second it is live for every method, and then for none."""
    session = await opened(store, owner, kind=kind)
    assert LIMITS.ends_at(session) == NOW + ends
    assert await lives(store, session, NOW + ends - 1)
    assert not await lives(store, session, NOW + ends)


async def test_a_session_ends_absolutely(store: Store, owner: User) -> None:
    """However often it is used, after its longest time it is over."""
    session = await opened(store, owner)
    for passed in range(0, int(LIMITS.absolute), int(LIMITS.idle) - 1):
        assert await store.sessions.touch(session.id, LIMITS, NOW + passed) is not None
    assert await lives(store, session, NOW + LIMITS.absolute - 1)
    assert not await lives(store, session, NOW + LIMITS.absolute)


async def lives(store: Store, session: Session, now: float) -> bool:
    """Ask every method that looks and changes nothing; they agree."""
    answers = {
        await store.sessions.find(session.id, LIMITS, now) is not None,
        [of.id for of in await store.sessions.of(session.subject, LIMITS, now)] == [session.id],
        [of.id for of in await store.sessions.page("", 10, LIMITS, now)] == [session.id],
    }
    assert len(answers) == 1
    return answers.pop()


CHANGES: dict[str, Callable[[Store, Session, float], Awaitable[object]]] = {
    "refresh": lambda store, session, now: store.sessions.refresh(session.id, 0, LIMITS, now),
    "touch": lambda store, session, now: store.sessions.touch(session.id, LIMITS, now),
    "renewals": lambda store, session, now: store.sessions.renewals([session.id], LIMITS, now),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_has_ended_is_not_begun_anew(store: Store, owner: User, change: str) -> None:
    """A session that has ended by time stays ended, whatever is tried with it."""
    session = await opened(store, owner, kind="connection")
    await CHANGES[change](store, session, NOW + 2 * LIMITS.access)
    known = await store.sessions.find(session.id, LIMITS, NOW)
    assert known is not None
    assert known.session == session


async def test_a_proof_moves_on(store: Store, owner: User) -> None:
    """The proof of now rotates: the next generation begins, and so does the idle time."""
    session = await opened(store, owner)
    done = await store.sessions.refresh(session.id, 0, LIMITS, NOW + 10)
    assert done.outcome == "rotated"
    assert done.known is not None
    assert done.known.session == replace(session, generation=1, generation_at=NOW + 10, refreshed_at=NOW + 10)
    assert done.known == await store.sessions.find(session.id, LIMITS, NOW + 10)


async def test_the_proof_before_gets_the_same_successor_in_time(store: Store, owner: User) -> None:
    """Two tabs, or a lost reply: within the grace the used proof finds what it found, and changes nothing."""
    session = await opened(store, owner)
    rotated = await store.sessions.refresh(session.id, 0, LIMITS, NOW)
    repeated = await store.sessions.refresh(session.id, 0, LIMITS, NOW + LIMITS.grace - 1)
    assert repeated.outcome == "repeated"
    assert repeated.known == rotated.known == await store.sessions.find(session.id, LIMITS, NOW)


@pytest.mark.parametrize("how", ["late", "successor used"])
async def test_an_old_proof_ends_the_session(store: Store, owner: User, how: str) -> None:
    """Mallory's copy comes after the grace, or after the successor was used: session and successors are dead."""
    session = await opened(store, owner)
    await store.sessions.refresh(session.id, 0, LIMITS, NOW)
    if how == "successor used":
        await store.sessions.refresh(session.id, 1, LIMITS, NOW)
    now = NOW if how == "successor used" else NOW + LIMITS.grace
    done = await store.sessions.refresh(session.id, 0, LIMITS, now, "o-3")
    assert (done.outcome, done.known, done.subject) == ("reused", None, "Alice")
    for generation in range(4):
        assert (await store.sessions.refresh(session.id, generation, LIMITS, now)).outcome == "gone"
    row = (await rows_of(store))[-1]
    assert (row.kind, row.key, row.order) == ("session", session.id, "o-3")


async def test_a_proof_of_the_future_proves_nothing(store: Store, owner: User) -> None:
    """A generation that was never given out is answered like an unknown session, and harms none."""
    session = await opened(store, owner)
    assert (await store.sessions.refresh(session.id, 1, LIMITS, NOW)).outcome == "gone"
    assert (await store.sessions.refresh("x" * 32, 0, LIMITS, NOW)).outcome == "gone"
    assert (await store.sessions.refresh(session.id, 0, LIMITS, NOW)).outcome == "rotated"


async def test_an_old_proof_of_an_ended_session_is_no_reuse(store: Store, owner: User) -> None:
    """What comes back after the session's end is no theft, and writes nothing."""
    session = await opened(store, owner)
    await store.sessions.refresh(session.id, 0, LIMITS, NOW)
    before = await rows_of(store)
    assert (await store.sessions.refresh(session.id, 0, LIMITS, NOW + LIMITS.idle)).outcome == "gone"
    assert await rows_of(store) == before


async def test_use_begins_the_idle_time_anew(store: Store, owner: User) -> None:
    """A touch moves the end, and only for the right generation."""
    session = await opened(store, owner, kind="cookie")
    assert await store.sessions.touch(session.id, LIMITS, NOW + 100, generation=1) is None
    known = await store.sessions.touch(session.id, LIMITS, NOW + 100, generation=0)
    assert known is not None
    assert known.session == replace(session, refreshed_at=NOW + 100)
    assert known == await store.sessions.find(session.id, LIMITS, NOW + 100)


async def test_a_clock_behind_takes_nothing_back(store: Store, owner: User) -> None:
    """A process whose clock is behind does not shorten what another one gave."""
    session = await opened(store, owner)
    await store.sessions.touch(session.id, LIMITS, NOW + 100)
    known = await store.sessions.touch(session.id, LIMITS, NOW + 99)
    assert known is not None
    assert known.session.refreshed_at == NOW + 100
    refreshed = await store.sessions.refresh(session.id, 0, LIMITS, NOW + 99)
    assert refreshed.known is not None
    assert refreshed.known.session.refreshed_at == NOW + 100


async def test_renewals_find_what_lives(store: Store, owner: User, member: User) -> None:
    """Of very many sessions those that live are found; only those of connections begin anew."""
    theirs = [await opened(store, owner, kind="connection"), await opened(store, member)]
    ended = await opened(store, member)
    assert await store.sessions.end(ended.id)
    others = [f"unknown-{number}" for number in range(1200)]
    found = await store.sessions.renewals([ended.id, *others, *(of.id for of in theirs)], LIMITS, NOW + 60)
    assert {known.session.id: known.session.refreshed_at for known in found} == {
        theirs[0].id: NOW + 60,
        theirs[1].id: NOW,
    }
    assert {known.user for known in found} == {owner, member}
    for known in found:
        assert await store.sessions.find(known.session.id, LIMITS, NOW + 60) == known
    assert await store.sessions.renewals([], LIMITS, NOW) == []


async def test_a_session_is_ended_once(store: Store, owner: User) -> None:
    """The first is told that it ended it, and the row has its order."""
    session = await opened(store, owner)
    assert await store.sessions.end(session.id, account="Alice", order="o-4")
    assert not await store.sessions.end(session.id)
    assert await store.sessions.find(session.id, LIMITS, NOW) is None
    rows = [row for row in await rows_of(store) if row.kind == "session"]
    assert [(row.key, row.order) for row in rows] == [(session.id, "o-4")]


async def test_nobody_ends_anothers_session(store: Store, owner: User, member: User) -> None:
    """Bob may name Alice's session as one of his; nothing happens."""
    session = await opened(store, owner)
    assert not await store.sessions.end(session.id, account=member.username)
    assert await store.sessions.find(session.id, LIMITS, NOW) is not None


async def test_a_users_sessions_are_listed_newest_first(store: Store, owner: User, member: User) -> None:
    """Alice sees hers and nobody else's."""
    mine = [await opened(store, owner, at=NOW + passed) for passed in (1, 3, 2)]
    await opened(store, member)
    found = await store.sessions.of("Alice", LIMITS, NOW + 3)
    assert list(found) == [mine[1], mine[2], mine[0]]


async def test_pages_go_through_all_sessions(store: Store, owner: User) -> None:
    """Pages of two show every live session once."""
    ids = {(await opened(store, owner)).id for _ in range(5)}
    await opened(store, owner, at=NOW - LIMITS.idle)
    found: list[str] = []
    while page := await store.sessions.page(found[-1] if found else "", 2, LIMITS, NOW):
        assert len(page) <= 2
        found += [session.id for session in page]
    assert found == sorted(ids)


async def test_what_has_ended_is_forgotten(store: Store, owner: User) -> None:
    """Pruning forgets what has ended by time, and nothing else."""
    kept = [await opened(store, owner), await opened(store, owner, kind="connection")]
    for _ in range(3):
        await opened(store, owner, at=NOW - LIMITS.idle)
    await opened(store, owner, kind="connection", at=NOW - 2 * LIMITS.access)
    assert await store.sessions.prune(LIMITS, NOW) == 4
    assert await store.sessions.prune(LIMITS, NOW) == 0
    assert {session.id for session in await store.sessions.of("Alice", LIMITS, NOW)} == {of.id for of in kept}
