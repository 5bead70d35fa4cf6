"""Orders are given once: what a store that was away shows again is nobody's new order, and reports stay true."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.races.test_feed_loss import resume
from tests.races.world import Process, eventually, process
from tests.unit.services.ground import CHANGED, LIMITS, PASSWORD, ground, refused
from tests.wsauth_server import serving
from tests.wsauth_sockets import Sockets, admin, echoes, is_ready, people
from tests.wsauth_sockets import eventually as soon
from wsauth.core.feed import NewRow
from wsauth.errors import Refused
from wsauth.guard.backend import Backend
from wsauth.interfaces.feed import Answer, Feed, Node
from wsauth.services.connections.connections import Report
from wsauth.services.events import Bus
from wsauth.services.feed.orders import Orders
from wsauth.services.sessions import Sessions
from wsauth.testing import FakeClock

MANY = 1100
"""Orders; more than anybody would keep in mind."""


async def read_again(here: Process) -> None:
    """Have a process read every row again, as it does when its store was away; return when it has."""
    here.stop_hearing()
    read = asyncio.Event()
    here.guard.follower.subscribe(lambda rows: read.set() if rows else None)
    resume(here)
    async with asyncio.timeout(5):
        await read.wait()
    await asyncio.sleep(0.3)  # whatever it answers wrongly, it answers now


async def test_an_old_order_is_not_answered_again(tmp_path: Path, here: Process) -> None:
    """After eleven hundred more orders all rows are read again: the first report still has the socket it closed."""
    known = await here.login()
    face = await here.connected(here.bearer(here.access(known)))
    first = await here.guard.revoke(session_id=known.session.id)
    assert (first.matched, first.closed, face.code) == (1, 1, "session_revoked")
    keep_until = here.guard.backend.clock.now() + 60
    await here.guard.backend.feed.publish(
        [NewRow(kind="session", key=f"s{n}", keep_until=keep_until, order=f"o{n}") for n in range(MANY)]
    )

    def answered() -> int:
        with closing(sqlite3.connect(tmp_path / "wsauth.db")) as store:
            return int(store.execute("SELECT count(*) FROM answers").fetchone()[0])

    await eventually(lambda: answered() == MANY + 1, within=30)
    await read_again(here)
    report = await here.guard.backend.orders.report(first.id)
    assert report is not None
    assert (report.matched, report.closed, report.complete) == (1, 1, True)


async def test_an_old_disconnection_closes_nobody(here: Process, there: Process) -> None:
    """Bob was disconnected and came back at once; when all rows are read again he stays, in both processes."""
    token = here.access(await here.login("bob"))
    faces = [await one.connected(one.bearer(token)) for one in (here, there)]
    report = await here.guard.disconnect(subject="bob", issuer="wsauth", retry_after=1)
    assert (report.matched, report.closed, [face.code for face in faces]) == (2, 2, ["disconnected"] * 2)
    back = [await one.connected(one.bearer(token)) for one in (here, there)]
    for one in (here, there):
        await read_again(one)
    assert all(face.open for face in back)
    report = await here.guard.disconnect(subject="bob", issuer="wsauth")
    assert (report.matched, report.closed) == (2, 2)


async def test_at_a_server_whose_store_was_away_an_old_disconnection_closes_nobody(tmp_path: Path) -> None:
    """The file is gone and comes back: who came back after a disconnection stays, and its report stays true."""
    async with serving(tmp_path, config='[store]\nfeed_timeout = "1s"\n') as server, Sockets() as sockets:
        password = await people(server, ["bob"])
        key = await server.add_service("ops", grants=["wsauth:admin"])
        token = (await server.login("bob", password))["access_token"]
        first = await sockets.open(server, token)
        async with admin(server, key) as api:
            report = (await api.post("/disconnections", json={"subject": "bob", "retry_after": 1})).json()
            assert (report["matched"], (await first.closed()).close_code) == (1, 1013)
            back = await sockets.open(server, token)
            store, aside = tmp_path / "wsauth.db", tmp_path / "aside.db"
            store.rename(aside)
            assert await soon(lambda: _says(server, "feed"), within=8)
            aside.rename(store)
            assert await soon(lambda: _says(server, "ready"), within=8)
            assert await echoes(back)
            told = (await api.get(f"/disconnections/{report['id']}")).json()
            assert (told["matched"], told["closed"], told["complete"]) == (1, 1, True)
            report = (await api.post("/disconnections", json={"subject": "bob"})).json()
            assert (report["matched"], report["complete"]) == (1, True)
        assert (await back.closed()).reason == "disconnected"


async def _says(server: Any, word: str) -> bool:
    return await is_ready(server) == word


# Ids.


async def test_ids_sort_by_time(tmp_path: Path, clock: FakeClock, here: Process) -> None:
    """Orders of several processes and of a command, given one after the other, sort as they were given."""
    command = Backend(f"sqlite:///{tmp_path}/wsauth.db", tmp_path / "wsauth.key", clock, follows=False)
    await command.open()
    nodes, ids = [here.guard.follower.node], []
    try:
        for step in range(3):
            clock.advance(0.5)
            ids.append((await here.guard.revoke(session_id=f"one {step}")).id)
            clock.advance(0.5)
            ids.append((await command.revoke(session_id=f"other {step}")).id)
            clock.advance(0.5)
            async with process(tmp_path, clock) as late:
                nodes.append(late.guard.follower.node)
    finally:
        await command.aclose()
    assert ids == sorted(ids)
    assert nodes == sorted(nodes)
    assert len({len(order) for order in ids}) == len({len(node) for node in nodes}) == 1


async def test_who_began_after_an_order_is_not_missing_in_its_report(
    tmp_path: Path, clock: FakeClock, here: Process
) -> None:
    """Asked again after another process began, the report is as complete as it was, and says so there too."""
    known = await here.login()
    await here.connected(here.bearer(here.access(known)))
    first = await here.guard.revoke(session_id=known.session.id)
    assert (first.matched, first.complete) == (1, True)
    clock.advance(1)
    async with process(tmp_path, clock) as late:
        for one in (here, late):
            report = await one.guard.backend.orders.report(first.id)
            assert report is not None
            assert (report.matched, report.closed, report.nodes.silent, report.complete) == (1, 1, 0, True)
        second = await here.guard.revoke(session_id="nobody's")
        assert (second.nodes.live, second.nodes.answered) == (2, 2)


# Answers that cannot be read.


class Unanswering:
    """Be a feed that takes rows, and fails from then on when it is asked.

    Args:
        feed: takes the rows.
        live: it still says who lives.
    """

    def __init__(self, feed: Feed, *, live: bool) -> None:
        self._feed = feed
        self._live = live
        self.publish = feed.publish
        self.revoke_all = feed.revoke_all
        self.beat = feed.beat
        self.newest = feed.newest
        self.goodbye = feed.goodbye
        self.answer = feed.answer
        self.prune = feed.prune

    async def nodes(self, since: float) -> Sequence[Node]:
        """Say who lives, or fail."""
        if not self._live:
            raise Refused("unavailable", "the store is away")
        return await self._feed.nodes(since)

    async def answers(self, order: str) -> Sequence[Answer] | None:
        """Fail."""
        raise Refused("unavailable", "the store is away")


@pytest.mark.parametrize("live", [True, False], ids=["answers", "processes and answers"])
@pytest.mark.parametrize("by", ["process", "command"])
async def test_answers_that_cannot_be_read_make_a_report_incomplete(
    here: Process, by: str, live: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The order is given and the socket closes; who gave it is told that nothing is known, and gets no error."""
    backend = here.guard.backend
    node = here.guard.follower.node if by == "process" else ""
    orders = Orders(Unanswering(backend.feed, live=live), backend.reader, backend.clock, node=node)
    known = await here.login()
    face = await here.connected(here.bearer(here.access(known)))
    row = NewRow(kind="session", key=known.session.id, keep_until=backend.clock.now() + 60)
    report: Report = await orders.publish(
        lambda order: [NewRow(kind=row.kind, key=row.key, keep_until=row.keep_until, order=order)]
    )
    assert (report.matched, report.complete) == (0, False)
    assert report.id in caplog.text
    await eventually(lambda: face.code == "session_revoked")

    async def complete() -> Report | None:
        told = await backend.orders.report(report.id)
        return told if told is not None and told.complete else None

    told = await soon(complete)
    assert told is not None
    assert (told.matched, told.closed) == (1, 1)


async def test_a_password_is_changed_although_nobody_can_say_what_came_of_it(tmp_path: Path) -> None:
    """The answers cannot be read after the write: the caller still gets the new cookie, and the old one is dead."""
    async with ground(tmp_path) as it:
        await it.alice()
        known = await it.sessions.login("alice", PASSWORD, "cookie")
        sessions = Sessions(
            it.store.users,
            it.store.sessions,
            passwords=it.passwords,
            lockout=it.lockout,
            key_file=it.key_file,
            limits=LIMITS,
            clock=it.clock,
            bus=Bus(),
            orders=Orders(Unanswering(it.store.feed, live=True), None, it.clock),
        )

        async def hashed() -> str:
            return await it.users.hash_password(CHANGED, "alice")

        carried = await sessions.change_password(known.user, PASSWORD, hashed, known.session.id)
        assert carried.session.generation == known.session.generation + 1
        assert await it.sessions.of_cookie(it.sessions.cookie(carried.session)) is not None
        assert await refused(it.sessions.of_cookie(it.sessions.cookie(known.session))) == "session_revoked"
        await it.sessions.login("alice", CHANGED, "tokens")
