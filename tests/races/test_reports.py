"""What a revocation or a disconnection reports: who answered, what was closed, cut, or is not yet."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.races.world import PASSWORD, Face, Process, eventually, process
from wsauth.core.feed import NewRow
from wsauth.core.identity import Identity
from wsauth.guard import Guard
from wsauth.guard.backend import Backend
from wsauth.testing import FakeClock


class Stuck(Face):
    """Be a transport whose close frame does not get through; it can only be cut."""

    def close(self, code: int, reason: str, *, at_once: bool = False) -> None:
        """Do not get it through."""
        self.closed = (code, reason)


class Broken(Face):
    """Be a transport that fails when it shall close."""

    def close(self, code: int, reason: str, *, at_once: bool = False) -> None:
        """Fail."""
        raise RuntimeError("broken")


async def test_a_report_counts_what_all_processes_closed_and_cut(
    here: Process, there: Process, clock: FakeClock
) -> None:
    """Three sockets close, one has to be cut, Bob's stays: matched four, and the two processes answered."""
    known, bob = await here.login(), await here.login("bob")
    token = here.access(known)
    faces = [await one.connected(one.bearer(token)) for one in (here, there, there)]
    stuck = await there.connected(there.bearer(token, face=Stuck()))
    kept = await there.connected(there.bearer(here.access(bob)))
    revoking = asyncio.ensure_future(here.guard.revoke(session_id=known.session.id))
    await eventually(lambda: stuck.closed is not None)
    clock.advance(5)
    report = await revoking
    assert (report.matched, report.closed, report.cut, report.complete) == (4, 3, 1, True)
    assert (report.nodes.live, report.nodes.answered, report.nodes.silent) == (2, 2, 0)
    assert all(face.code == "session_revoked" for face in faces)
    assert kept.open


async def test_what_takes_longer_is_told_later(here: Process, clock: FakeClock) -> None:
    """After two seconds the report says what is missing; asked for again by its id, it says that it is done."""
    known = await here.login()
    stuck = await here.connected(here.bearer(here.access(known), face=Stuck()))
    first = await here.guard.revoke(session_id=known.session.id)
    assert (first.matched, first.closed, first.cut, first.complete) == (1, 0, 0, False)
    assert stuck.closed is not None
    clock.advance(5)
    orders = here.guard.backend.orders
    async with asyncio.timeout(5):
        while (report := await orders.report(first.id)) is None or not report.complete:  # noqa: ASYNC110  it is no event
            await asyncio.sleep(0.02)
    assert (report.id, report.matched, report.cut) == (first.id, 1, 1)
    assert await orders.report("nonesuch") is None


async def test_a_transport_that_fails_keeps_no_other_open(here: Process, caplog: pytest.LogCaptureFixture) -> None:
    """Of three sockets the middle one cannot be closed; both others are, and the report does not say that all are."""
    known = await here.login()
    token = here.access(known)
    broken = await here.connected(here.bearer(token, face=Broken()))
    faces = [await here.connected(here.bearer(token)) for _ in range(6)]
    report = await here.guard.revoke(session_id=known.session.id)
    assert (report.matched, report.closed, report.complete) == (7, 6, False)
    assert all(face.code == "session_revoked" for face in faces)
    assert "could not be closed" in caplog.text
    broken.connection.gone(1006, "")


class Mute(Face):
    """Be a transport that fails when something is to be said after the greeting."""

    def send_control(self, text: str) -> None:
        """Fail, but for the greeting."""
        if self.said:
            raise RuntimeError("broken")
        super().send_control(text)


async def test_a_transport_that_fails_keeps_no_revocation_away(here: Process) -> None:
    """Bob's socket cannot be told of his new rights; Alice's session, ended in the same breath, is closed."""
    known = await here.login()
    face = await here.connected(here.bearer(here.access(known)))
    mute = await here.connected(here.bearer(here.access(await here.login("bob")), face=Mute()))
    user = await here.local.users.get("bob")
    feed, keep_until = here.guard.backend.feed, here.guard.backend.clock.now() + 60
    rights = {"epoch": user.epoch, "roles": ["owner"], "grants": []}
    await feed.publish(
        [
            NewRow(kind="user", key="bob", value=rights, keep_until=keep_until),
            NewRow(kind="session", key=known.session.id, keep_until=keep_until),
        ]
    )
    await eventually(lambda: face.code == "session_revoked")
    assert mute.connection.identity.roles == ("owner",)


async def test_a_drain_closes_everybody_else(here: Process) -> None:
    """One transport fails while the process stops; all others are told to come back."""
    token = here.access(await here.login())
    broken = await here.connected(here.bearer(token, face=Broken()))
    faces = [await here.connected(here.bearer(token)) for _ in range(6)]
    draining = asyncio.ensure_future(here.guard.connections.drain(0.1))
    await eventually(lambda: all(face.code == "draining" for face in faces))
    broken.connection.gone(1006, "")
    await draining
    late = here.bearer(token)
    await late.settled()
    assert late.code == "draining"


async def test_a_connection_counts_for_one_order(here: Process) -> None:
    """Two orders about one socket are read together: one report has it, and the other waits for nothing."""
    known = await here.login()
    await here.connected(here.bearer(here.access(known)))
    feed, now = here.guard.backend.feed, here.guard.backend.clock.now()

    def row(order: str) -> NewRow:
        return NewRow(kind="session", key=known.session.id, keep_until=now + 60, order=order)

    await feed.publish([row("first"), row("second")])
    here.guard.backend.reader.poke()
    await asyncio.sleep(0.5)
    matched = []
    for order in ("first", "second"):
        answers = await feed.answers(order)
        assert answers is not None
        matched += [answer.matched for answer in answers]
    assert sorted(matched) == [0, 1]


async def test_an_order_from_before_a_process_is_not_its_own_to_answer(
    tmp_path: Path, clock: FakeClock, here: Process
) -> None:
    """A process that begins after a revocation obeys it and stays out of its report."""
    known = await here.login()
    report = await here.guard.revoke(session_id=known.session.id)
    clock.advance(1)
    async with process(tmp_path, clock) as late:
        refused = late.bearer(here.access(known))
        await refused.settled()
        assert refused.code == "session_revoked"
        await asyncio.sleep(0.3)
        answers = await here.guard.backend.feed.answers(report.id)
        assert answers is not None
        assert [answer.node for answer in answers] == [here.guard.follower.node]


async def test_who_said_goodbye_is_not_waited_for(tmp_path: Path, clock: FakeClock, here: Process) -> None:
    """A process that stopped in order is neither live nor silent, and the next report is complete at once."""
    async with process(tmp_path, clock):
        report = await here.guard.revoke(session_id="nobody's")
        assert report.nodes.live == 2
    report = await here.guard.revoke(session_id="nobody's")
    assert (report.nodes.live, report.nodes.silent, report.complete) == (1, 0, True)


async def test_a_disconnection_lets_come_back(here: Process, there: Process) -> None:
    """Bob's sockets close in both processes with 1013, and his token is still good."""
    token = here.access(await here.login("bob"))
    faces = [await one.connected(one.bearer(token)) for one in (here, there)]
    report = await there.guard.disconnect(subject="bob", issuer="wsauth", retry_after=5)
    assert (report.matched, report.closed) == (2, 2)
    assert [face.closed[0] for face in faces if face.closed] == [1013, 1013]
    await asyncio.sleep(0.2)
    again = await here.connected(here.bearer(token))
    await asyncio.sleep(0.2)
    assert again.open


async def test_the_connections_of_all_processes_are_listed(here: Process, there: Process) -> None:
    """Paged by id, of everybody or of one identity, with the process that holds each."""
    alice, bob = here.access(await here.login()), here.access(await here.login("bob"))
    for token in (alice, bob):
        for one in (here, there, there):
            await one.connected(one.bearer(token))
    orders = here.guard.backend.orders
    every = await orders.list()
    assert len(every) == 6
    paged: list[Any] = []
    while page := await orders.list(after=paged[-1].id if paged else "", limit=2):
        paged += page
    assert paged == list(every)
    bobs = await orders.list(key=("wsauth", "bob"))
    assert {listed.subject for listed in bobs} == {"bob"}
    assert {listed.node for listed in bobs} == {here.guard.follower.node, there.guard.follower.node}


async def embedded(folder: Path, clock: FakeClock) -> Guard:
    """Return the guard of an application that has no users of ours and shares the store with those who have."""
    backend = Backend(f"sqlite:///{folder}/wsauth.db", folder / "wsauth.key", clock)
    return Guard(verifiers=[], origins=[], store=backend)


@pytest.mark.parametrize("by", ["session", "subject"])
async def test_an_embedded_application_ends_sessions_of_ours(
    tmp_path: Path, clock: FakeClock, here: Process, by: str
) -> None:
    """Its `revoke` reaches the users of `wsauth serve`: sockets close, and the refresh token is dead for good."""
    known = await here.login()
    face = await here.connected(here.bearer(here.access(known)))
    async with await embedded(tmp_path, clock) as guard:
        if by == "session":
            report = await guard.revoke(session_id=known.session.id)
        else:
            report = await guard.revoke(subject="alice", issuer="wsauth")
        assert (report.matched, report.closed, report.complete) == (1, 1, True)
    assert face.code == "session_revoked"
    assert await here.local.sessions.find(known.session.id) is None


async def test_a_token_from_before_there_was_such_a_user_dies_with_them(here: Process) -> None:
    """A token by hand for a name nobody had, then a user of that name: to revoke the name ends both."""
    token = here.local.tokens.issue_by_hand("carol", ttl=300, roles=["member"])
    by_hand = await here.connected(here.bearer(token))
    await here.local.users.add("carol", PASSWORD)
    face = await here.connected(here.bearer(here.access(await here.login("carol"))))
    report = await here.guard.revoke(subject="carol", issuer="wsauth")
    assert (by_hand.code, face.code) == ("token_revoked", "session_revoked")
    assert report.complete
    again = here.bearer(token)
    await again.settled()
    assert again.code == "token_revoked"


async def test_a_foreign_identity_of_the_same_name_stays(here: Process) -> None:
    """Alice of another issuer is not our Alice: a ticket's socket of hers survives the end of our Alice's logins."""
    theirs = Identity("alice", issuer="https://login.example.com", roles=["member"])
    foreign = await here.connected(here.begin(query=f"ticket={await here.guard.issue_ticket(theirs)}"))
    ours = await here.connected(here.bearer(here.access(await here.login())))
    await here.guard.revoke(subject="alice", issuer="wsauth")
    await eventually(lambda: ours.code == "session_revoked")
    assert foreign.open
    await here.guard.revoke(subject="alice", issuer="https://login.example.com")
    assert foreign.code == "token_revoked"
