"""Watch the echoes of bystanders while the server has something heavy to do."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from contextlib import AsyncExitStack

from benchmarks.served.bench import Bench, Busy, Errors, Finding, echo_values, within
from benchmarks.served.http import Client, log_in
from benchmarks.served.revocation import PATIENCE, REST, user_token

CLIENTS = 100
"""Sessions that are refreshed in turn, each by its own client."""

ENOUGH = 0.95
"""The share of the refreshes due that must have been made, for it to be the load it is said to be."""

OPENING_RATE = 600
"""Sockets a second that any machine opens: how long the leases must be."""

COMMAND = 4.0
"""Seconds that the command takes at most which makes the token."""

NO_GRACE = '[[routes]]\npath = "/ws"\nupstream = "echo"\ngrace = "0s"\n'


async def refreshes(bench: Bench) -> Finding:
    """Refresh sessions at a steady rate."""
    size, site, errors = bench.size, bench.site(), Errors()
    passwords = {name: await site.add_user(name) for name in ("alice", "bob")}
    async with site.serving() as (server,), AsyncExitStack() as stack:
        async with server.client() as client:
            logged_in = [await log_in(client, "alice", passwords["alice"]) for _ in range(CLIENTS)]
        bob = await user_token(server, "bob", passwords["bob"])
        async with bench.generator.holding(server.port, [bob], size.bystanders, pace_ms=size.pace_ms) as held:
            began = await _rested(size.seconds)
            clients = [await stack.enter_async_context(server.client()) for _ in logged_in]
            busy, start = Busy(), time.time()
            count = round(size.refreshes * size.seconds)
            now, apart = asyncio.get_running_loop().time(), 1 / size.refreshes
            walks = [
                _refresh(client, login["refresh_token"], [now + turn * apart for turn in turns], errors)
                for client, login, turns in zip(clients, logged_in, _dealt(count), strict=True)
            ]
            made = sum(await asyncio.gather(*walks))
            end, shares = time.time(), busy.shares()
    errors.take(held.errors)
    rate = made / (end - start)
    errors.add(f"only {rate:.0f} refreshes a second", rate < size.refreshes * ENOUGH)
    values = echo_values(within(held.echoes, began, start), within(held.echoes, start, end))
    return Finding(values | {"refreshes_per_second": rate, **shares}, errors.found)


def _dealt(count: int) -> list[range]:
    """Return which of so many refreshes each client makes, in turn."""
    return [range(number, count, CLIENTS) for number in range(CLIENTS)]


async def _refresh(client: Client, token: str, due: Sequence[float], errors: Errors) -> int:
    """Refresh one session when it is due, in the loop's time; return how often it was."""
    loop = asyncio.get_running_loop()
    for number, at in enumerate(due):
        await asyncio.sleep(max(0.0, at - loop.time()))
        status, answer = await client.post("/auth/refresh", refresh_token=token)
        if status != 200:
            errors.add(f"refresh answered with {status}")
            return number
        token = answer["refresh_token"]
    return len(due)


async def logins(bench: Bench) -> Finding:
    """Log in very often at once; what is beyond the queue's limit is answered 503, which is no error."""
    size, site, errors = bench.size, bench.site(), Errors()
    passwords = {name: await site.add_user(name) for name in ("alice", "bob")}
    async with site.serving() as (server,), AsyncExitStack() as stack:
        bob = await user_token(server, "bob", passwords["bob"])
        async with bench.generator.holding(server.port, [bob], size.bystanders, pace_ms=size.pace_ms) as held:
            began = await _rested(size.seconds)
            clients = [await stack.enter_async_context(server.client()) for _ in range(size.logins)]
            busy, start = Busy(), time.time()
            body = {"username": "alice", "password": passwords["alice"]}
            answers = await asyncio.gather(*(client.post("/auth/login", **body) for client in clients))
            end, shares = time.time(), busy.shares()
    errors.take(held.errors)
    statuses = [status for status, _ in answers]
    for status in set(statuses) - {200, 503}:
        errors.add(f"login answered with {status}", statuses.count(status))
    errors.add("nobody logged in", 200 not in statuses)
    values = echo_values(within(held.echoes, began, start), within(held.echoes, start, end))
    counts = {"logged_in": float(statuses.count(200)), "told_to_wait": float(statuses.count(503))}
    return Finding(values | counts | {"lasted_s": end - start, **shares}, errors.found)


async def lease_ends(bench: Bench) -> Finding:
    """Let very many leases end at the same moment, without grace, so that every socket is closed at once."""
    size, site, errors = bench.size, bench.site(NO_GRACE), Errors()
    passwords = {name: await site.add_user(name) for name in ("alice", "bob")}
    async with site.serving() as (server,):
        bob = await user_token(server, "bob", passwords["bob"])
        async with bench.generator.holding(server.port, [bob], size.bystanders, pace_ms=size.pace_ms) as held:
            lifetime = size.sockets / OPENING_RATE + COMMAND + size.seconds + REST
            alice = await site.token("alice", f"{lifetime:.0f}s")
            ends = _ends_at(alice)
            async with bench.generator.holding(server.port, [alice], size.sockets) as crowd:
                began = await _rested(0)
                await asyncio.sleep(max(0.0, ends - 0.2 - time.time()))
                busy = Busy()
                await crowd.emptied(PATIENCE)
                shares = busy.shares()
    errors.take(held.errors)
    errors.take(crowd.errors)
    errors.add("leases ended before a baseline was taken", began > ends - REST)
    errors.add("socket left open", size.sockets - len(crowd.closed))
    last = max((one.at for one in crowd.closed), default=ends)
    values = echo_values(within(held.echoes, began, ends - 0.1), within(held.echoes, ends, last))
    return Finding(values | {"last_s": last - ends, **shares}, errors.found)


async def _rested(seconds: float) -> float:
    """Let the server come to rest, then pass the time of a baseline; return when that began."""
    await asyncio.sleep(REST)
    began = time.time()
    await asyncio.sleep(seconds)
    return began


def _ends_at(token: str) -> float:
    """Return when a token ends, seconds since the epoch."""
    claims = token.split(".")[1]
    return float(json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
