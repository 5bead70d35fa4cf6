"""End what is open: one identity with very many sockets, and one session after the other across two processes."""

import asyncio
import random
import sqlite3
import time
from contextlib import AsyncExitStack

from benchmarks.served.bench import Bench, Busy, Errors, Finding, echo_values, within
from benchmarks.served.http import Client, log_in
from benchmarks.served.process import Server, Site
from benchmarks.served.sockets import Held, percentile

OWN = "wsauth"
"""The issuer of the server's own users."""

REST = 1.0
"""Seconds before something is measured, and until a baseline has been taken."""

PATIENCE = 15.0
"""Seconds after which sockets that are still open are counted as errors."""

LONGEST_PAUSE = 0.1
"""Seconds between two orders: random, so that they do not fall into step with the readers of the feed."""


async def admin_token(site: Site, server: Server) -> str:
    """Return the access token of an administrator who is made for it."""
    password = await site.add_user("admin", "--grant", "wsauth:admin")
    return await user_token(server, "admin", password)


async def user_token(server: Server, name: str, password: str) -> str:
    """Log in, and return the access token."""
    async with server.client() as client:
        token: str = (await log_in(client, name, password))["access_token"]
    return token


async def one_process(bench: Bench) -> Finding:
    """Revoke the identity of all sockets of one process."""
    return await revoke_crowd(bench, 1)


async def two_processes(bench: Bench) -> Finding:
    """Revoke the identity of sockets of which half are in a second process."""
    return await revoke_crowd(bench, 2)


async def revoke_crowd(bench: Bench, processes: int, config: str = "") -> Finding:
    """Open the sockets of Alice and, beside them, Bob's; revoke Alice at the first process.

    Args:
        bench: what is used.
        processes: how many serve.
        config: the text of their wsauth.toml.
    """
    size, site, hold = bench.size, bench.site(config), bench.generator.holding
    passwords = {name: await site.add_user(name) for name in ("alice", "bob")}
    async with site.serving(processes) as servers, AsyncExitStack() as stack:
        admin = await admin_token(site, servers[0])
        alice, bob = [await user_token(servers[0], name, password) for name, password in passwords.items()]
        beside = [
            await stack.enter_async_context(
                hold(server.port, [bob], size.bystanders // processes, pace_ms=size.pace_ms)
            )
            for server in servers
        ]
        crowd = [
            await stack.enter_async_context(hold(server.port, [alice], size.sockets // processes)) for server in servers
        ]
        await asyncio.sleep(REST)
        began = time.time()
        await asyncio.sleep(REST)
        async with servers[0].admin_client(admin) as client:
            busy, ordered = Busy(), time.time()
            status, report = await client.post("/admin/api/revocations", subject="alice", issuer=OWN)
            answered, shares = time.time(), busy.shares()
            for held in crowd:
                await held.emptied(PATIENCE)
            if status == 202:
                status, report = await client.get(f"/admin/api/revocations/{report['id']}")
    errors = _crowd_errors(crowd, beside, status, report, size.sockets)
    closed = [one.at for held in crowd for one in held.closed]
    last = max(closed, default=ordered)
    echoes = [echo for held in beside for echo in held.echoes]
    values = {"last_s": last - ordered, "first_s": min(closed, default=ordered) - ordered}
    values |= {"answered_s": answered - ordered, **shares}
    return Finding(values | echo_values(within(echoes, began, ordered), within(echoes, ordered, last)), errors)


def _crowd_errors(
    crowd: list[Held], beside: list[Held], status: int, report: dict[str, object], sockets: int
) -> dict[str, int]:
    errors = Errors()
    for held in (*crowd, *beside):
        errors.take(held.errors)
    errors.add("socket left open", sockets - sum(len(held.closed) for held in crowd))
    errors.add("bystander closed", sum(len(held.closed) for held in beside))
    errors.add(f"order answered with {status}", status != 200)
    errors.add("report wrong", (report.get("matched"), report.get("closed")) != (sockets, sockets))
    errors.add("report not complete", report.get("complete") is not True)
    return errors.found


async def feed(bench: Bench) -> Finding:
    """End sessions at one process, each with a socket in another; time from the row's own time to the close frame."""
    size, site = bench.size, bench.site()
    password = await site.add_user("alice")
    errors = Errors()
    async with site.serving(2) as (near, far):
        admin = await admin_token(site, near)
        async with near.client() as client:
            logins = [await log_in(client, "alice", password) for _ in range(size.orders)]
        tokens = [login["access_token"] for login in logins]
        async with bench.generator.holding(far.port, tokens, size.orders) as held:
            await asyncio.sleep(REST)
            busy = Busy()
            async with near.admin_client(admin) as client:
                for login in logins:
                    errors.add("order not complete", not await _end(client, login["session_id"]))
            shares = busy.shares()
            await held.emptied(REST)
    errors.take(held.errors)
    written = _written(site)
    delays = [
        one.at - written[session] for one in held.closed if (session := logins[one.connection]["session_id"]) in written
    ]
    errors.add("socket left open", size.orders - len(delays))
    values = {f"p{share}_ms": percentile(delays, share / 100) * 1e3 for share in (50, 99)}
    return Finding(values | {"worst_ms": max(delays, default=0.0) * 1e3, "orders": len(delays), **shares}, errors.found)


async def _end(client: Client, session_id: str) -> bool:
    """Revoke a session after a pause; true when its socket was closed."""
    await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))
    status, report = await client.post("/admin/api/revocations", session_id=session_id)
    return status == 200 and report["closed"] == 1


def _written(site: Site) -> dict[str, float]:
    """Return when each row about a session was written; its transaction commits after that."""
    store = sqlite3.connect(site.store)
    try:
        return dict(store.execute("SELECT key, at FROM feed WHERE kind = 'session'").fetchall())
    finally:
        store.close()
