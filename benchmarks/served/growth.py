"""Do the same with an empty store and with full ones."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from benchmarks import generator
from benchmarks.served import store
from benchmarks.served.bench import Bench, Errors, Finding
from benchmarks.served.http import Client, log_in
from benchmarks.served.process import Server, Site
from benchmarks.served.revocation import REST, admin_token
from benchmarks.served.sockets import percentile

IN_FLIGHT = 8
"""Requests, or handshakes, under way at once."""

SESSIONS = 50
"""Sessions that are revoked one after the other."""

BATCHES, ROWS = 10, 1_000
"""Transactions on the feed, and rows in each."""

MIB = 1024 * 1024


async def growth(bench: Bench, count: int) -> Finding:
    """Measure with that many users, sessions and live rows of the feed."""
    site, errors = bench.site(), Errors()
    password = await site.add_user("alice")
    await asyncio.to_thread(store.fill, site.store, count)
    began = time.monotonic()
    async with site.serving() as (server,):
        values = {"start_s": time.monotonic() - began}
        await asyncio.sleep(REST)
        values["memory_mib"] = server.memory() / MIB
        admin = await admin_token(site, server)
        async with server.client() as client:
            logins = [await log_in(client, "alice", password) for _ in range(SESSIONS)]
        values["handshake_us"] = await _handshakes(bench, server, logins[0]["access_token"], errors)
        tokens = [login["refresh_token"] for login in logins[:IN_FLIGHT]]
        values["refresh_us"] = await _refreshes(server, tokens, bench.size.seconds / 2, errors)
        values |= await _revocations(server, admin, [login["session_id"] for login in logins], errors)
        values["feed_row_us"] = await _feed(server, site, count)
    return Finding(values, errors.found)


async def _handshakes(bench: Bench, server: Server, token: str, errors: Errors) -> float:
    """Return the microseconds of the server's CPU that a whole connection takes: handshake, echo, close."""
    given = bench.folder / "token"
    given.write_text(f"{token}\n")
    options = {"path": "/ws", "tokens": given, "via": "header", "connections": IN_FLIGHT}
    used, count = 0.0, 1
    for seconds in (0.5, bench.size.seconds / 2):  # the first is to warm up
        before = server.cpu_seconds()
        load = await asyncio.to_thread(
            generator.run, bench.program, "connects", server.port, seconds=seconds, **options
        )
        used, count = server.cpu_seconds() - before, max(load.count, 1)
        errors.take(load.errors)
    return used / count * 1e6


async def _refreshes(server: Server, tokens: Sequence[str], seconds: float, errors: Errors) -> float:
    """Return the microseconds of the server's CPU that a refresh takes."""
    until = time.monotonic() + seconds
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.client()) for _ in tokens]
        before = server.cpu_seconds()
        walks = [_refresh(client, token, until, errors) for client, token in zip(clients, tokens, strict=True)]
        made = sum(await asyncio.gather(*walks))
        return (server.cpu_seconds() - before) / max(made, 1) * 1e6


async def _refresh(client: Client, token: str, until: float, errors: Errors) -> int:
    made = 0
    while time.monotonic() < until:
        status, answer = await client.post("/auth/refresh", refresh_token=token)
        if status != 200:
            errors.add(f"refresh answered with {status}")
            break
        token, made = answer["refresh_token"], made + 1
    return made


async def _revocations(server: Server, admin: str, ids: Sequence[str], errors: Errors) -> dict[str, float]:
    """Return what the order to revoke a session takes, one after the other."""
    took = []
    async with server.admin_client(admin) as client:
        before = server.cpu_seconds()
        for session_id in ids:
            began = time.monotonic()
            status, _ = await client.post("/admin/api/revocations", session_id=session_id)
            took.append(time.monotonic() - began)
            errors.add(f"order answered with {status}", status != 200)
        used = server.cpu_seconds() - before
    return {"revocation_us": used / len(ids) * 1e6, "revocation_p50_ms": percentile(took, 0.5) * 1e3}


async def _feed(server: Server, site: Site, first: int) -> float:
    """Return the microseconds of the server's CPU that a row of another process takes."""
    before = server.cpu_seconds()
    await asyncio.sleep(BATCHES * 0.1 + REST)
    idle, before = server.cpu_seconds() - before, server.cpu_seconds()
    for batch in range(BATCHES):
        await asyncio.to_thread(store.publish, site.store, first + batch * ROWS, ROWS)
        await asyncio.sleep(0.1)
    await asyncio.sleep(REST)
    return max(server.cpu_seconds() - before - idle, 0.0) / (BATCHES * ROWS) * 1e6
