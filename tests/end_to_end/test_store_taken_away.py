"""The store is taken away from a running server and given back: what is granted, refused and closed meanwhile."""

import asyncio
import json
import re
import resource
import sqlite3
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.attacks.wire import Wire, frame, request, wire
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import (
    Sockets,
    asked,
    called,
    echoes,
    eventually,
    is_ready,
    people,
    port_of,
    pulse,
    refusal,
    said,
)

SPEAKS: Final = "Sec-WebSocket-Protocol: wsauth.v1"
REFUSE: Final = '[store]\nfeed_timeout = "1s"\non_feed_loss = "refuse"\n'
CLOSE: Final = '[store]\nfeed_timeout = "1s"\non_feed_loss = "close"\n'
BRIEF: Final = """
[tokens]
access_ttl = "5s"

[[routes]]
path = "/ws"
upstream = "echo"
grace = "1s"
"""
LOCKED: Final = 10.0
"""Seconds that another process holds the store."""


@contextmanager
def removed(store: Path) -> Generator[None]:
    """Take the file away."""
    aside = store.with_name("aside.db")
    store.rename(aside)
    try:
        yield
    finally:
        aside.rename(store)


@contextmanager
def emptied(store: Path) -> Generator[None]:
    """Put an empty file in its place."""
    aside = store.with_name("aside.db")
    store.rename(aside)
    store.touch(0o600)
    try:
        yield
    finally:
        aside.rename(store)


def copy(store: Path) -> Path:
    """Return a copy of the store as it is now."""
    path = store.with_name("copy.db")
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = WAL")
    return path


@contextmanager
def locked(store: Path) -> Generator[None]:
    """Hold the store, as a program does that writes for a long time."""
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@contextmanager
def full(server: Serving) -> Generator[None]:
    """Let no file of the server's grow any more, as on a full disk."""
    size = server.folder.joinpath("wsauth.db-wal").stat().st_size
    assert size > len(server.output())
    before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)


async def says(at: Serving, *words: str, within: float = 8.0) -> str:
    """Wait until `/readyz` says one of these, with the right status, and return it."""

    async def now() -> str:
        status, text = await asked(at, "/readyz")
        assert status == (200 if text == "ready" else 503)
        return text if text in words else ""

    found = await eventually(now, within)
    assert found, f"{await is_ready(at)} is not {words}"
    return found


async def logs_in(at: Serving, password: str) -> httpx2.Response:
    """Return the answer to Alice's login."""
    return await called("POST", f"{at.http}/auth/login", body={"username": "alice", "password": password})


async def is_refused(at: Serving, answer: httpx2.Response) -> None:
    """Check that it is a 503 that says when to come back."""
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["retry_after"] >= 1
    assert "Traceback" not in at.output()


@pytest.mark.parametrize("take", [removed, emptied])
async def test_without_its_file_it_grants_nothing_and_keeps_what_is_open(
    tmp_path: Path, take: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """Handshakes, tickets, logins and refreshes get 503, /readyz says `feed`, open sockets echo; then all is well."""
    async with serving(tmp_path, config=REFUSE) as server, Sockets() as sockets:
        password = await people(server, ["alice"])
        login = await server.login("alice", password)
        token = login["access_token"]
        held = await sockets.open_many(server, [token] * 3)
        ticket = await server.ticket(token)
        async with pulse(held) as beats:
            with take(tmp_path / "wsauth.db"):
                await says(server, "feed")
                for _ in range(3):
                    answer = await refusal(server, token)
                    assert (answer.status, answer.code) == (503, "unavailable")
                    assert int(answer.header("retry-after")) >= 1
                async with wire(port_of(server.http), request(f"/ws?ticket={ticket}")) as late:
                    assert (await late.answer()).status == 503
                await is_refused(server, await logs_in(server, password))
                body = {"refresh_token": login["refresh_token"]}
                await is_refused(server, await called("POST", f"{server.http}/auth/refresh", body=body))
                await is_refused(server, await called("POST", f"{server.http}/auth/ticket", token, {}))
                before = list(beats)
                await asyncio.sleep(0.5)
                assert all(now > then for now, then in zip(beats, before, strict=True))
            await says(server, "ready")
        assert (await refusal(server, token)).status == 101
        assert (await logs_in(server, password)).status_code == 200
        assert (await called("POST", f"{server.http}/auth/refresh", body=body)).status_code == 200


async def test_on_feed_loss_close_closes_what_is_open(tmp_path: Path) -> None:
    """After feed_timeout every socket closes with 1013 `unavailable`, and they may come back when the file does."""
    async with serving(tmp_path, config=CLOSE) as server, Sockets() as sockets:
        password = await people(server, ["alice"])
        token = (await server.login("alice", password))["access_token"]
        held = await sockets.open_many(server, [token] * 5)
        with removed(tmp_path / "wsauth.db"):
            for socket in held:
                end = await socket.closed(5)
                assert (end.close_code, end.reason) == (1013, "unavailable")
                assert re.fullmatch(r"unavailable;id=\w{12};retry_after=[1-9]", end.payload[2:].decode())
            assert (await refusal(server, token)).status == 503
        await says(server, "ready")
        assert (await refusal(server, token)).status == 101


async def test_on_feed_loss_refuse_lets_leases_run_out_and_renews_none(tmp_path: Path) -> None:
    """A renewal is answered `unavailable`, the socket echoes on, and at its lease's end it closes as expired."""
    async with serving(tmp_path, config=REFUSE + BRIEF) as server, Sockets() as sockets:
        password = await people(server, ["alice"])
        first = (await server.login("alice", password))["access_token"]
        socket = await sockets.open(server, first, "/ws", SPEAKS)
        await socket.message("auth_success")
        await asyncio.sleep(1.1)  # the next token's iat is a later second
        later = (await server.login("alice", password))["access_token"]
        with removed(tmp_path / "wsauth.db"):
            await says(server, "feed")
            socket.send(frame(json.dumps({"type": "auth", "token": later})))
            refused = await told(socket, "auth_error")
            assert (refused["code"], refused["closing"]) == ("unavailable", False)
            assert await echoes(socket)
            expired = await told(socket, "auth_error")
            assert (expired["code"], expired["closing"]) == ("token_expired", False)
            end = await socket.closed()
            assert (end.close_code, end.reason) == (3000, "token_expired")


async def told(socket: Wire, kind: str) -> dict[str, object]:
    """Return the next control message of this type; `auth_expiring` may come before it."""
    while True:
        found: dict[str, object] = json.loads(await socket.text())
        if found["type"] == kind:
            return found
        assert found["type"] == "auth_expiring", found


async def test_an_older_copy_in_the_files_place_brings_no_revoked_token_back(tmp_path: Path) -> None:
    """It says in the log what happened, serves on with the copy, and what was revoked after the copy stays refused."""
    store = tmp_path / "wsauth.db"
    async with serving(tmp_path, config=REFUSE) as server, Sockets() as sockets:
        password = await people(server, ["alice", "mallory"])
        alice = (await server.login("alice", password))["access_token"]
        mallory = (await server.login("mallory", password))["access_token"]
        held = await sockets.open(server, alice)
        older = copy(store)
        assert (await called("POST", f"{server.http}/auth/logout", mallory)).status_code == 204
        store.rename(tmp_path / "aside.db")
        older.rename(store)
        assert "replaced" in await said(server, "feed of revocations: .*replaced", within=5)
        await says(server, "ready")
        assert (await refusal(server, mallory)).code == "session_revoked"
        assert (await refusal(server, alice)).status == 101
        assert (await logs_in(server, password)).status_code == 200
        done = await server.command("sessions", "revoke", "--subject", "alice")
        assert (done.status, (await held.closed()).reason) == (0, "session_revoked")
        (tmp_path / "aside.db").rename(store)
        await says(server, "ready")
        for token in (mallory, alice):
            assert (await refusal(server, token)).code == "session_revoked"


async def test_locked_for_ten_seconds_it_reads_on_and_writes_nothing(tmp_path: Path) -> None:
    """Tokens still open sockets; logins and tickets get 503 and /readyz says `store`; afterwards all is as before."""
    async with serving(tmp_path, config=REFUSE) as server, Sockets() as sockets:
        password = await people(server, ["alice"])
        token = (await server.login("alice", password))["access_token"]
        held = await sockets.open_many(server, [token] * 3)
        ticket = await server.ticket(token)
        loop = asyncio.get_running_loop()
        async with pulse(held):
            with locked(tmp_path / "wsauth.db"):
                until = loop.time() + LOCKED
                async with wire(port_of(server.http), request(f"/ws?ticket={ticket}")) as late:
                    waiting = asyncio.ensure_future(logs_in(server, password))
                    await says(server, "store")
                    assert (await refusal(server, token)).status == 101
                    assert (await late.answer(12)).status == 503
                    await is_refused(server, await waiting)
                await asyncio.sleep(until - loop.time())
            await says(server, "ready")
        assert (await logs_in(server, password)).status_code == 200
        done = await server.command("sessions", "revoke", "--subject", "alice")
        assert done.status == 0, done.err
        assert {(await socket.closed()).reason for socket in held} == {"session_revoked"}


async def test_on_a_full_disk_it_reads_on_and_writes_nothing(tmp_path: Path) -> None:
    """Tokens still open sockets; logins and refreshes get 503 and /readyz says `store`; with room again all is well."""
    async with serving(tmp_path, config=REFUSE) as server, Sockets() as sockets:
        password = await people(server, ["alice"])
        login = await server.login("alice", password)
        token, body = login["access_token"], {"refresh_token": login["refresh_token"]}
        held = await sockets.open_many(server, [token] * 3)
        async with pulse(held):
            with full(server):
                await says(server, "store")
                await is_refused(server, await logs_in(server, password))
                await is_refused(server, await called("POST", f"{server.http}/auth/refresh", body=body))
                assert (await refusal(server, token)).status == 101
            await says(server, "ready")
        assert (await logs_in(server, password)).status_code == 200
        assert (await called("POST", f"{server.http}/auth/refresh", body=body)).status_code == 200
        done = await server.command("sessions", "revoke", "--subject", "alice")
        assert done.status == 0, done.err
        assert {(await socket.closed()).reason for socket in held} == {"session_revoked"}
