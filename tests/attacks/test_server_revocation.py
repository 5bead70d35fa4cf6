"""ATTACKS.md, group "Revocation and its races", against two `wsauth serve` on one store; tests are named by row.

RV-05 is about the feed's rows, and is with the tests of the store and of the services.
"""

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.attacks.wire import CLOSE, Answer, Wire, frame, request, wire
from tests.leaks import secret
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import (
    Sockets,
    admin,
    bearer,
    called,
    echoes,
    endings,
    eventually,
    people,
    port_of,
    refusal,
    said,
)

SPEAKS: Final = "Sec-WebSocket-Protocol: wsauth.v1"
ORIGIN: Final = "https://app.example.com"
CONFIG: Final = f"""
[server]
origins = ["{ORIGIN}"]

[tokens]
refresh_grace = "20s"

[[routes]]
path = "/ws"
upstream = "echo"

[[routes]]
path = "/slow"
upstream = "asgi:tests.apps.slow:app"
"""
PEOPLE: Final = 80
"""More than the tests take: what is revoked here stays revoked on the store."""


@dataclass
class Pair:
    """Be two servers on one store, and people who are nobody's yet."""

    first: Serving
    second: Serving
    key: str
    password: str
    numbers: "itertools.count[int]"

    def __iter__(self) -> Any:
        return iter((self.first, self.second))

    async def somebody(self) -> dict[str, Any]:
        """Return the login of somebody whom no other test knows."""
        number = next(self.numbers)
        assert number < PEOPLE
        return await self.first.login(f"person-{number:02}", self.password)

    async def revoke(self, **what: Any) -> Any:
        """Revoke through the admin API, and return the report."""
        async with admin(self.first, self.key) as api:
            answer = await api.post("/revocations", json=what)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Pair]:
    """Run both servers as long as the tests of this module."""
    folder = tmp_path_factory.mktemp("revocation")
    async with serving(folder, config=CONFIG) as first, serving(folder) as second:
        key = await first.add_service("ops", grants=["wsauth:admin"])
        password = await people(first, [f"person-{number:02}" for number in range(PEOPLE)])
        yield Pair(first, second, key, password, itertools.count())
        assert "Traceback" not in first.output() + second.output()


async def dead_everywhere(pair: Pair, token: str, code: str = "session_revoked") -> bool:
    """Tell whether a token opens nothing, in neither process and by no source."""
    for server in pair:
        found = [await refusal(server, token)]
        async with wire(port_of(server.http), request("/ws", f"{SPEAKS}, wsauth.bearer.{token}")) as by_subprotocol:
            found.append(await by_subprotocol.answer())
        async with wire(port_of(server.http), request("/ws")) as by_message:
            assert (await by_message.answer()).status == 101
            await by_message.message("auth_required")
            by_message.send(frame(json.dumps({"type": "auth", "token": token})))
            assert (await by_message.message("auth_error"))["code"] == code
        me = await called("GET", f"{server.http}/auth/me", token)
        if {answer.code for answer in found} | {me.json()["code"]} != {code}:
            return False
    return True


async def closed_or_refused(socket: Wire, answer: Answer) -> bool:
    """Tell whether a handshake opened nothing that lasts."""
    return answer.status == 401 or (answer.status == 101 and (await socket.closed()).reason == "session_revoked")


async def test_rv_01_a_revocation_during_handshakes_leaves_nothing_open(pair: Pair) -> None:
    """Of handshakes in both processes around the revocation none is open afterwards, however they interleave."""
    statuses = set()
    for round_ in range(8):
        login = await pair.somebody()
        handshake = request("/ws", f"Authorization: Bearer {login['access_token']}")
        async with AsyncExitStack() as stack:

            async def knock(server: Serving, stack: AsyncExitStack = stack, handshake: bytes = handshake) -> Wire:
                return await stack.enter_async_context(wire(port_of(server.http), handshake))

            sockets = await asyncio.gather(*(knock(server) for server in pair))
            revoking = asyncio.ensure_future(pair.revoke(session_id=login["session_id"]))
            for step in itertools.count():
                last = revoking.done()
                sockets += await asyncio.gather(*(knock(server) for server in pair))
                if last:
                    break
                await asyncio.sleep(0.001 * (step % (round_ + 1)))
            report = await revoking
            assert report["complete"] is True
            for socket in sockets:
                answer = await socket.answer()
                statuses.add(answer.status)
                assert await closed_or_refused(socket, answer)
        assert (await refusal(pair.second, login["access_token"])).code == "session_revoked"
    assert statuses == {101, 401}


async def test_rv_02_a_handler_that_finishes_after_the_revocation_says_nothing(pair: Pair) -> None:
    """What a slow application answers after the revocation is not delivered, nor does it get the next message."""
    mallory, bob = await pair.somebody(), await pair.somebody()
    async with Sockets() as sockets:
        hers = await sockets.open(pair.second, mallory["access_token"], "/slow")
        his = await sockets.open(pair.second, bob["access_token"], "/slow")
        hers.send(frame("wait 1"))
        await asyncio.sleep(0.1)
        assert (await pair.revoke(subject=mallory["subject"]))["matched"] == 1
        hers.send(frame("never to be heard"))
        end = await hers.frame()
        assert end is not None
        assert (end.opcode, end.close_code, end.reason) == (CLOSE, 3000, "session_revoked")
        assert await hers.ended()
        await asyncio.sleep(1)
        his.send(frame("heard wait 1"), frame("heard never to be heard"))
        assert [await his.text(), await his.text()] == ["yes", "no"]


@pytest.mark.parametrize("way", ["admin", "command", "logout"])
async def test_rv_03_the_other_process_closes_within_a_second(pair: Pair, way: str) -> None:
    """Revoked at one process, sockets at both close within a second by every way; Bob's stay."""
    alice, bob = await pair.somebody(), await pair.somebody()
    async with Sockets() as sockets:
        hers = [await sockets.open(server, alice["access_token"]) for server in pair]
        his = [await sockets.open(server, bob["access_token"]) for server in pair]
        began = time.monotonic()
        if way == "admin":
            report = await pair.revoke(session_id=alice["session_id"])
            assert (report["matched"], report["nodes"]["answered"]) == (2, 2)
        elif way == "command":
            done = await pair.first.command("sessions", "revoke", alice["session_id"], "--json")
            assert (done.status, done.json()["matched"], done.json()["nodes"]["live"]) == (0, 2, 2)
        else:
            assert (await called("POST", f"{pair.first.http}/auth/logout", alice["access_token"])).status_code == 204
        ends = await endings(hers, within=1)
        assert way == "command" or time.monotonic() - began < 1
        assert [(end.close_code, end.reason) for end in ends] == [(3000, "session_revoked")] * 2
        assert all([await echoes(socket) for socket in his])
    assert await dead_everywhere(pair, alice["access_token"])


async def test_rv_06_no_refresh_outlives_a_revocation(pair: Pair) -> None:
    """However refreshes in both processes and a revocation interleave, no successor is good once it has returned."""
    statuses = set()
    for round_ in range(20):
        login = await pair.somebody()
        body = {"refresh_token": login["refresh_token"]}
        refreshing = [
            asyncio.ensure_future(called("POST", f"{server.http}/auth/refresh", body=body))
            for server in pair
            for _ in range(2)
        ]
        await asyncio.sleep(round_ / 200)
        await pair.revoke(session_id=login["session_id"])
        successors = {"access_token": {login["access_token"]}, "refresh_token": {login["refresh_token"]}}
        for answer in await asyncio.gather(*refreshing):
            statuses.add(answer.status_code)
            if answer.status_code == 200:
                for name, found in successors.items():
                    found.add(answer.json()[name])
            else:
                assert answer.json()["code"] == "session_revoked"
        assert len(successors["refresh_token"]) <= 2
        for token in successors["access_token"]:
            assert (await refusal(pair.second, token)).code == "session_revoked"
        for token in successors["refresh_token"]:
            answer = await called("POST", f"{pair.second.http}/auth/refresh", body={"refresh_token": token})
            assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")
    assert statuses == {200, 401}


async def test_rv_07_no_ticket_outlives_a_logout(pair: Pair) -> None:
    """Tickets that are made and used while a logout runs leave no socket open once it has returned."""
    statuses = set()
    for round_ in range(10):
        login = await pair.somebody()
        token = login["access_token"]
        early = await pair.first.ticket(token)
        async with AsyncExitStack() as stack:

            async def use(server: Serving, ticket: str, stack: AsyncExitStack = stack) -> tuple[Wire, Answer]:
                socket = await stack.enter_async_context(wire(port_of(server.http), request(f"/ws?ticket={ticket}")))
                return socket, await socket.answer()

            async def make_and_use(server: Serving, token: str = token) -> tuple[Wire, Answer] | None:
                made = await called("POST", f"{server.http}/auth/ticket", token, {})
                return await use(server, made.json()["ticket"]) if made.status_code == 200 else None

            using = [asyncio.ensure_future(make_and_use(server)) for server in pair for _ in range(4)]
            if round_ % 2:
                await asyncio.wait(using, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(round_ / 100)
            leaving = await called("POST", f"{pair.first.http}/auth/logout", token)
            assert leaving.status_code == 204
            for made in await asyncio.gather(*using):
                statuses.add(0 if made is None else made[1].status)
                assert made is None or await closed_or_refused(*made)
            late, answer = await use(pair.second, early)
            assert await closed_or_refused(late, answer)
    assert statuses > {101}, "nothing was too late"


async def test_rv_09_no_cache_answers_for_what_was_revoked(pair: Pair) -> None:
    """A token and a cookie that were found good a moment ago in both processes are refused after the revocation."""
    login = await pair.somebody()
    signed_in = await called(
        "POST",
        f"{pair.first.http}/auth/login",
        body={"username": login["subject"], "password": pair.password, "cookie": True},
        Origin=ORIGIN,
    )
    cookie = secret(signed_in.headers["Set-Cookie"].partition(";")[0].partition("=")[2], "a session cookie")
    lines = (f"Cookie: wsauth={cookie}", f"Origin: {ORIGIN}")
    for server in (*pair, *pair):
        assert (await refusal(server, login["access_token"])).status == 101
        async with wire(port_of(server.http), request("/ws", *lines)) as alice:
            assert (await alice.answer()).status == 101
        assert (await called("GET", f"{server.http}/auth/me", Cookie=f"wsauth={cookie}")).status_code == 200
    await pair.revoke(subject=login["subject"])
    assert await dead_everywhere(pair, login["access_token"])
    for server in pair:
        async with wire(port_of(server.http), request("/ws", *lines)) as mallory:
            assert (await mallory.verdict()).code == "session_revoked"
        answer = await called("GET", f"{server.http}/auth/me", Cookie=f"wsauth={cookie}")
        assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")


async def test_rv_10_a_revocation_is_kept_longer_than_what_it_is_about(pair: Pair) -> None:
    """A token of a year cannot be had; one of the longest life is refused by a process that starts afterwards."""
    login = await pair.somebody()
    too_long = await pair.first.command("tokens", "issue", "--subject", login["subject"], "--ttl", "25h")
    assert too_long.status == 2
    issued = await pair.first.command("tokens", "issue", "--subject", login["subject"], "--ttl", "24h", "--json")
    token = secret(next(value for value in issued.json().values() if str(value).startswith("ey")), "a long token")
    assert (await refusal(pair.first, token)).status == 101
    await pair.revoke(subject=login["subject"])
    async with serving(pair.first.folder) as later:
        for server in (*pair, later):
            assert (await refusal(server, token)).code == "token_revoked"


async def test_rv_11_whatever_was_issued_until_then_is_revoked_and_the_next_login_is_not(pair: Pair) -> None:
    """Tokens of the same second as the revocation are dead; a login right after it, in the same second, is good."""
    for _ in range(3):
        before = await pair.somebody()
        await pair.revoke(subject=before["subject"])
        after = await pair.second.login(before["subject"], pair.password)
        for server in pair:
            assert (await refusal(server, before["access_token"])).code == "session_revoked"
            assert (await refusal(server, after["access_token"])).status == 101


async def test_rv_13_a_rotated_api_key_is_dead_at_once(pair: Pair) -> None:
    """Without a restart the old key opens nothing in either process, its sockets close, and the new key is good."""
    for way in ("admin", "command"):
        name = f"service-{way}"
        old = await pair.first.add_service(name, grants=["wsauth:tickets"])
        async with Sockets() as sockets:
            held = [await sockets.open(server, old) for server in pair]
            if way == "admin":
                async with admin(pair.first, pair.key) as api:
                    answer = await api.patch(f"/users/{name}", json={"reset_key": True})
                new = answer.json()["api_key"]
            else:
                done = await pair.first.command("users", "set-password", name, "--service", "--json")
                new = done.json()["api_key"]
            secret(new, "a new API key")
            assert {end.close_code for end in await endings(held, within=1)} == {3000}
        for server in pair:
            assert (await refusal(server, old)).status == 401
            assert (await refusal(server, new)).status == 101
        async with admin(pair.first, old) as api:
            assert (await api.post("/tickets", json={"issuer": "elsewhere", "subject": "x"})).status_code == 401


async def test_rv_14_a_client_that_ignores_the_close_is_cut(pair: Pair) -> None:
    """Who goes on sending after the close is not heard, and TCP ends within the close timeout."""
    mallory, bob = await pair.somebody(), await pair.somebody()
    async with Sockets() as sockets:
        hers = await sockets.open(pair.second, mallory["access_token"], "/slow")
        his = await sockets.open(pair.second, bob["access_token"], "/slow")
        assert await echoes(hers)
        await pair.revoke(subject=mallory["subject"])
        assert (await hers.closed()).reason == "session_revoked"
        for number in range(10):
            hers.send(frame(f"not closed {number}"))
            await asyncio.sleep(0.05)
        assert await hers.cut(within=6)
        his.send(*(frame(f"heard not closed {number}") for number in range(10)))
        assert {await his.text() for _ in range(10)} == {"no"}


async def test_rv_15_output_that_is_queued_is_not_flushed(pair: Pair) -> None:
    """Megabytes for a reader who does not read are dropped, and the report does not wait for them."""
    mallory = await pair.somebody()
    async with Sockets() as sockets:
        socket = await sockets.open(pair.second, mallory["access_token"], "/slow")
        socket.send(frame("flood 1000"))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        report = await pair.revoke(subject=mallory["subject"])
        assert time.monotonic() - began < 1.5
        assert (report["matched"], report["closed"] + report["cut"], report["complete"]) == (1, 1, True)
        received = 0
        try:
            async with asyncio.timeout(7):
                while chunk := await socket.reader.read(1 << 20):
                    received += len(chunk)
        except ConnectionError:
            pass
        assert received < 30_000_000


async def test_rv_17_the_log_proves_the_revocation(pair: Pair) -> None:
    """One line has its time, its id, whom it was about and how many sockets it closed; others tell of each socket."""
    alice = await pair.somebody()
    async with Sockets() as sockets:
        hers = [await sockets.open(pair.first, alice["access_token"]) for _ in range(3)]
        report = await pair.revoke(session_id=alice["session_id"])
        reasons = [end.payload[2:].decode() for end in await endings(hers)]
    line = await said(pair.first, re.escape(report["id"]))
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line)
    assert "Revoked" in line
    assert alice["session_id"] in line
    assert re.search(r"\b3 connections\b", line)
    for reason in reasons:
        assert alice["subject"] in await said(pair.first, f"Closed .* 3000 {re.escape(reason)}")


async def test_rv_17_a_report_can_be_asked_for_again(pair: Pair) -> None:
    """The same numbers come by the report's id, from the other process too; an unknown id is 404."""
    alice = await pair.somebody()
    async with Sockets() as sockets:
        await sockets.open(pair.second, alice["access_token"])
        report = await pair.revoke(session_id=alice["session_id"])
    for server in pair:
        found = await called("GET", f"{server.admin}/admin/api/revocations/{report['id']}", pair.key)
        assert found.json() == report
        unknown = await called("GET", f"{server.admin}/admin/api/revocations/{'a' * 16}", pair.key)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
        assert bearer(pair.key)["Authorization"] not in found.text

    async def again() -> bool:
        found: int = (await pair.revoke(session_id=alice["session_id"]))["matched"]
        return found == 0

    assert await eventually(again)
