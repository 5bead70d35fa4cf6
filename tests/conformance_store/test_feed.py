"""The feed: rows, the processes that read them, and their answers."""

import time

from tests.conformance_store.cast import LIMITS, NOW, login
from tests.conformance_store.reading import rows_of
from wsauth.core.feed import KEPT, NewRow
from wsauth.core.users import User
from wsauth.interfaces.feed import Answer, Listed, Node
from wsauth.interfaces.store import Store

LATER = time.time() + 3600


def row(key: str, *, keep_until: float = LATER, order: str | None = None) -> NewRow:
    return NewRow(kind="subject", key=key, value={"until": NOW, "ü": [1]}, keep_until=keep_until, order=order)


async def test_rows_are_read_as_written(store: Store) -> None:
    """Rows of one transaction come with their values and growing numbers."""
    before = time.time()
    await store.feed.publish([row("a"), row("b", order="o-1")])
    first, second = await rows_of(store)
    assert (first.kind, first.key, first.value, first.order) == ("subject", "a", {"until": NOW, "ü": [1]}, None)
    assert (second.key, second.order, second.keep_until) == ("b", "o-1", LATER)
    assert second.seq > first.seq > 0
    assert before <= first.at <= time.time()


async def test_rows_of_users_and_sessions_are_kept_for_a_day(store: Store, owner: User) -> None:
    """A row outlives every credential that it is about."""
    session = login(owner)
    assert await store.sessions.open(session)
    assert await store.sessions.end(session.id)
    for found in await rows_of(store):
        assert found.keep_until >= found.at + KEPT


async def test_all_are_ended_at_once(store: Store, owner: User, member: User) -> None:
    """Everybody is in the epoch of the row, and no session is left."""
    sessions = [login(owner), login(member)]
    for session in sessions:
        assert await store.sessions.open(session)
    await store.feed.revoke_all(NOW, LATER, "o-2")
    found = (await rows_of(store))[-1]
    assert (found.kind, found.value, found.keep_until, found.order) == ("all", {"until": NOW}, LATER, "o-2")
    for user, session in zip((owner, member), sessions, strict=True):
        now = await store.users.find(user.username)
        assert now is not None
        assert now.epoch == found.seq
        assert await store.sessions.find(session.id, LIMITS, NOW) is None
        assert not await store.sessions.open(login(user))
        assert await store.sessions.open(login(now))


async def test_processes_say_that_they_live(store: Store) -> None:
    """A beat counts from its moment on, until the process says goodbye or is silent for an hour."""
    await store.feed.beat(Node(id="n-1", beat_at=NOW, connections=3))
    await store.feed.beat(Node(id="n-2", beat_at=NOW))
    await store.feed.beat(Node(id="n-1", beat_at=NOW + 1, connections=4))
    assert list(await store.feed.nodes(NOW)) == [
        Node(id="n-1", beat_at=NOW + 1, connections=4),
        Node(id="n-2", beat_at=NOW),
    ]
    assert [node.id for node in await store.feed.nodes(NOW + 0.5)] == ["n-1"]
    await store.feed.goodbye("n-1")
    await store.feed.prune(NOW + 3599)
    assert [node.id for node in await store.feed.nodes(NOW)] == ["n-2"]
    await store.feed.prune(NOW + 3600)
    assert list(await store.feed.nodes(0)) == []


async def test_orders_are_answered(store: Store) -> None:
    """A process may answer again; what counts is its last word."""
    listed = Listed(
        id="c-1",
        node="n-1",
        issuer="wsauth",
        subject="Alice",
        session_id=None,
        path="/ws",
        address="192.0.2.1",
        opened_at=NOW,
        expires_at=None,
    )
    await store.feed.publish([row("a", order="o-3")])
    assert await store.feed.answers("o-3") == []
    await store.feed.answer("o-3", Answer(node="n-2", matched=2, complete=False))
    await store.feed.answer("o-3", Answer(node="n-1", matched=1, closed=1, listed=[listed]))
    await store.feed.answer("o-3", Answer(node="n-2", matched=2, closed=1, cut=1, slowest=0.25))
    assert await store.feed.answers("o-3") == [
        Answer(node="n-1", matched=1, closed=1, listed=[listed]),
        Answer(node="n-2", matched=2, closed=1, cut=1, slowest=0.25, listed=[]),
    ]


async def test_an_unknown_order_has_no_answers(store: Store) -> None:
    """Nobody answers an order that was never given, and asking says so."""
    assert await store.feed.answers("o-4") is None
    await store.feed.answer("o-4", Answer(node="n-1"))
    assert await store.feed.answers("o-4") is None


async def test_rows_are_forgotten_when_they_may_be(store: Store) -> None:
    """Pruning forgets rows after their time with the answers to them, and numbers are never given again."""
    await store.feed.publish([row(str(number), keep_until=LATER - 1, order="o-5") for number in range(600)])
    await store.feed.publish([row("kept", order="o-6")])
    numbers = [found.seq for found in await rows_of(store)]
    for order in ("o-5", "o-6"):
        await store.feed.answer(order, Answer(node="n-1"))
    await store.feed.prune(LATER - 2)
    assert len(await rows_of(store)) == 601
    await store.feed.prune(LATER - 1)
    assert [found.key for found in await rows_of(store)] == ["kept"]
    assert await store.feed.answers("o-5") is None
    assert await store.feed.answers("o-6") == [Answer(node="n-1", listed=[])]
    await store.feed.prune(LATER)
    assert await rows_of(store) == []
    await store.feed.publish([row("new", order="o-5")])
    assert (await rows_of(store))[0].seq > max(numbers)
    assert await store.feed.answers("o-5") == []
