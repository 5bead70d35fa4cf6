"""A thousand sockets of a hundred people: one is revoked, the server drains, and a flood of logins stalls nobody."""

import asyncio
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from tests.attacks.wire import Wire
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import Sockets, admin, echoes, endings, people, port_of, pulse, refusal

PEOPLE = 100
EACH = 10
LOGINS = 200


async def tokens_of(at: Serving, names: Sequence[str], password: str) -> list[str]:
    """Log everybody in, a few at a time."""
    few = asyncio.Semaphore(16)

    async def token(name: str) -> str:
        async with few:
            found: str = (await at.login(name, password))["access_token"]
            return found

    return list(await asyncio.gather(*(token(name) for name in names)))


@pytest.mark.parametrize("processes", [1, 2])
async def test_revoking_one_of_a_hundred_closes_exactly_their_sockets(tmp_path: Path, processes: int) -> None:
    """Of 1,000 sockets the 10 of one person close within a second, and the token stays dead through a kill -9."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(tmp_path)) for _ in range(processes)]
        first = servers[0]
        key = await first.add_service("ops", grants=["wsauth:revoke"])
        names = [f"person-{number:02}" for number in range(PEOPLE)]
        password = await people(first, names, roles=["member"])
        tokens = await tokens_of(first, names, password)
        async with Sockets() as sockets:
            share = EACH // processes
            held: list[list[Wire]] = [[] for _ in names]
            for server in servers:
                opened = await sockets.open_many(server, [token for token in tokens for _ in range(share)])
                for number, wire in enumerate(opened):
                    held[number // share].append(wire)
            async with admin(first, key) as api:
                began = time.monotonic()
                answer = await api.post("/revocations", json={"subject": names[7]})
                closed = await endings(held[7])
                assert time.monotonic() - began < 1
            assert [(end.close_code, end.reason) for end in closed] == [(3000, "session_revoked")] * EACH
            report = answer.json()
            assert answer.status_code == 200
            assert (report["matched"], report["closed"] + report["cut"]) == (EACH, EACH)
            assert report["nodes"] == {"live": processes, "answered": processes, "silent": 0}
            assert report["complete"] is True
            rest = [wire for number, those in enumerate(held) if number != 7 for wire in those]
            assert len(rest) == EACH * (PEOPLE - 1)
            for start in range(0, len(rest), 100):
                assert all(await asyncio.gather(*(echoes(wire) for wire in rest[start : start + 100])))
        for server in servers:
            assert (await refusal(server, tokens[7])).code == "session_revoked"
            await server.kill()
        for _ in range(processes):
            later = await stack.enter_async_context(serving(tmp_path))
            assert (await refusal(later, tokens[7])).code == "session_revoked"
            assert (await refusal(later, tokens[8])).status == 101


async def test_sigterm_sends_everybody_away_over_a_while_and_ends_with_0(tmp_path: Path) -> None:
    """Closes are 1012 `draining;retry_after=N`, spread over drain_timeout; /readyz says so and nobody comes in."""
    async with serving(tmp_path, config='[server]\ndrain_timeout = "4s"\n') as server, Sockets() as sockets:
        password = await people(server, ["alice"])
        token = (await server.login("alice", password))["access_token"]
        held = await sockets.open_many(server, [token] * 40)
        async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as keeping:
            assert (await keeping.get("/readyz")).text == "ready"
            os.kill(server.pid, signal.SIGTERM)
            waits: list[float] = []

            async def sent_away(wire: Wire) -> tuple[int, str]:
                end = await wire.closed(8)
                waits.append(time.monotonic())
                assert await wire.ended()
                return end.close_code, end.payload[2:].decode()

            closing = [asyncio.ensure_future(sent_away(wire)) for wire in held]
            await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
            answer = await keeping.get("/readyz")
            assert (answer.status_code, answer.text) == (503, "draining")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port_of(server.http))
            ends = await asyncio.gather(*closing)
        assert all(code == 1012 and re.fullmatch(r"draining;retry_after=[1-9]", reason) for code, reason in ends)
        assert len({reason for _, reason in ends}) > 1
        assert 2 < max(waits) - min(waits) < 6
        assert await server.ended() == 0


async def test_a_flood_of_logins_stalls_no_socket(tmp_path: Path) -> None:
    """Of 200 logins at once the excess gets 503 with Retry-After, the others 200; every echo comes back, in order."""
    async with serving(tmp_path) as server, Sockets() as sockets:
        # Of one account, ten are under way at once and no more: each may be a guess.
        names = [f"alice{n}" for n in range(LOGINS // 8)]
        password = await people(server, names)
        token = (await server.login(names[0], password))["access_token"]
        held = await sockets.open_many(server, [token] * 10)
        limits = httpx2.Limits(max_connections=LOGINS)
        async with (
            httpx2.AsyncClient(base_url=server.http, limits=limits, timeout=60, trust_env=False) as client,
            pulse(held) as beats,
        ):
            bodies = [{"username": name, "password": password} for name in names for _ in range(8)]
            answers = await asyncio.gather(*(client.post("/auth/login", json=body) for body in bodies))
            during = list(beats)
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) == {200, 503}
        assert statuses[200] >= 64
        for answer in answers:
            if answer.status_code == 503:
                assert (answer.json()["code"], int(answer.headers["Retry-After"]) >= 1) == ("unavailable", True)
        assert min(during) > 1
