"""Rows that cannot be read, and what is granted to nobody while rows are not read at all."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.races.world import PAGE, PASSWORD, Face, Process, eventually, process
from tests.wsauth_server import serving
from tests.wsauth_sockets import Sockets, echoes, people, refusal, said
from wsauth.guard import Route
from wsauth.testing import FakeClock

INSERT: Final = "INSERT INTO feed (kind, key, value, keep_until, at) VALUES (?, ?, ?, ?, ?)"
PAIR: Final = json.dumps(["https://login.example.com", "mallory"])
BAD: Final = {
    "a key that is no pair": ("token", "nonsense", "{}"),
    "a pair of three": ("subject", '["a", "b", "c"]', '{"until": 1}'),
    "no end": ("subject", PAIR, "{}"),
    "an end of everything that is no time": ("all", "", '{"until": "soon"}'),
    "roles that are no list": ("user", "mallory", '{"epoch": 0, "roles": 5}'),
    "a value that is no JSON": ("subject", PAIR, "nonsense"),
    "a value that is no object": ("all", "", "[]"),
}
"""Kind, key and value of rows that nothing of ours writes."""


def write(store: Path, *rows: tuple[str, str, str]) -> None:
    """Write rows to a store in one transaction, as something does that is not ours."""
    now = time.time()
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.executemany(INSERT, [(*row, now + 3600, now) for row in rows])


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
async def test_a_row_that_cannot_be_read_hides_no_other(
    tmp_path: Path, here: Process, caplog: pytest.LogCaptureFixture, bad: str, first: bool
) -> None:
    """Committed with a revocation, before or behind it: Alice's socket closes, Bob's stays, the log has an alarm."""
    known = await here.login()
    hers = await here.connected(here.bearer(here.access(known)))
    his = await here.connected(here.bearer(here.access(await here.login("bob"))))
    ended = ("session", known.session.id, "{}")
    write(tmp_path / "wsauth.db", *((BAD[bad], ended) if first else (ended, BAD[bad])))
    await eventually(lambda: hers.code == "session_revoked", within=3)
    again = here.bearer(here.access(known))
    await again.settled()
    assert again.code == "session_revoked"
    assert his.open
    assert not here.guard.follower.lost
    assert "cannot be read" in here.guard.follower.alarm
    assert {record.levelname for record in caplog.records if "cannot be read" in record.message} == {"ERROR"}


async def test_a_process_starts_over_a_row_that_cannot_be_read(tmp_path: Path, clock: FakeClock, here: Process) -> None:
    """What was revoked beside it is refused by a process that begins afterwards, and Bob gets in there."""
    known, other = await here.login(), await here.login("bob")
    rows = [("session", known.session.id, "nonsense"), *BAD.values()]
    write(tmp_path / "wsauth.db", *rows)
    async with process(tmp_path, clock) as late:
        refused = late.bearer(here.access(known))
        await refused.settled()
        assert refused.code == "session_revoked"
        await late.connected(late.bearer(here.access(other)))


async def test_the_server_says_so_and_goes_on(tmp_path: Path) -> None:
    """At a real server: the socket that was revoked beside a bad row closes, Bob's echoes, the log has an alarm."""
    async with serving(tmp_path) as server, Sockets() as sockets:
        password = await people(server, ["alice", "bob"])
        alice, bob = await server.login("alice", password), await server.login("bob", password)
        hers, his = await sockets.open_many(server, [alice["access_token"], bob["access_token"]])
        write(tmp_path / "wsauth.db", BAD["no end"], ("session", alice["session_id"], "{}"))
        end = await hers.closed(2)
        assert (end.close_code, end.reason) == (3000, "session_revoked")
        assert (await refusal(server, alice["access_token"])).code == "session_revoked"
        assert await echoes(his)
        assert "ERROR" in await said(server, r"feed of revocations: row \d+ cannot be read")
        done = await server.command("sessions", "revoke", bob["session_id"])
        assert (done.status, (await his.closed()).reason) == (0, "session_revoked")


# Nobody is let in either.


@pytest.fixture
async def open_to_all(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[Process]:
    """Run a process with a route for nobody, in whose store is Alice."""
    async with process(tmp_path, clock, routes=[Route("/anon", anonymous=True)]) as it:
        await it.local.users.add("alice", PASSWORD)
        yield it


async def nobody(here: Process) -> list[Face]:
    """Begin handshakes without credentials: as nobody, by a client and a page, and to authenticate in-band."""
    page = (b"origin", PAGE.encode())
    return [here.begin(path="/anon", speaks=False), here.begin(page, path="/anon"), here.begin()]


async def test_nobody_gets_in_while_the_feed_is_lost(open_to_all: Process, clock: FakeClock) -> None:
    """Without credentials a handshake is 503 `unavailable` while the feed is not read; who is in as nobody stays."""
    before = await nobody(open_to_all)
    for face in before[:2]:
        await open_to_all.connected(face)
    open_to_all.stop_hearing()
    clock.advance(5.5)
    for face in await nobody(open_to_all):
        await eventually(lambda face=face: face.refused)  # type: ignore[misc]  # mypy infers no lambda with a default
        assert face.refused is not None
        assert (face.refused.http_status, face.code, face.refused.retry_after) == (503, "unavailable", 1)
        assert face.said == []
    assert all(face.open for face in before[:2])


async def test_nobody_gets_in_while_the_process_drains(open_to_all: Process) -> None:
    """Without credentials a handshake is 503 `draining` while others are being closed, and after."""
    token = open_to_all.access(await open_to_all.login())
    for _ in range(3):
        await open_to_all.connected(open_to_all.bearer(token))
    draining = asyncio.ensure_future(open_to_all.guard.connections.drain(0.2))
    await eventually(lambda: open_to_all.guard.connections.draining)
    during = await nobody(open_to_all)
    await draining
    for face in [*during, *await nobody(open_to_all)]:
        await eventually(lambda face=face: face.refused)  # type: ignore[misc]  # mypy infers no lambda with a default
        assert face.refused is not None
        assert (face.refused.http_status, face.code) == (503, "draining")
