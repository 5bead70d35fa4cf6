"""Push a server while sockets echo: logins at once, forged handshakes, and these with an audit log that is locked."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.door.account import Account
from benchmarks.door.people import People
from benchmarks.door.visitor import Visitor, bearer
from benchmarks.door.written import Written, in_store
from benchmarks.served.bench import Bench, within
from benchmarks.served.process import Server
from benchmarks.served.revocation import REST
from benchmarks.served.sockets import Echo, Held, percentile
from wsauth.services.audit import WAITING

TOGETHER = 64
"""Handshakes under way at once."""
LOOK = 0.05
"""Seconds between two looks at the memory."""
SETTLING = 20.0
"""Seconds that the audit log may take to be whole: a locked file is tried for five seconds, and again after one."""
MIB = 2**20
PROXY = {"WSAUTH__SERVER__TRUSTED_PROXIES": '["127.0.0.1"]'}


@dataclass(slots=True)
class Quiet:
    """What a server was before and during a push.

    Attributes:
        before, highest, after: proportional set size, MiB.
        began, start, end: seconds since the epoch: of the time before, and of the push.
    """

    before: float = 0.0
    highest: float = 0.0
    after: float = 0.0
    began: float = 0.0
    start: float = 0.0
    end: float = 0.0

    def memory(self) -> str:
        """Return the memory in words."""
        return f"{self.before:.0f} → {self.highest:.0f} → {self.after:.0f} MiB"

    def echoes(self, held: Held) -> tuple[str, str]:
        """Return p50 and p99 of the echoes in words, before and during."""
        times = (within(held.echoes, self.began, self.start), within(held.echoes, self.start, self.end))
        return _echo(times[0]), _echo(times[1])


async def logins(bench: Bench) -> Account:
    """Log in very often at once: what does not fit into the queue is told to come later."""
    head = ("logins at once", "answers", "s", "echo p50 / p99 before", "during", "memory before → highest → after")
    account = Account(f"{bench.size.logins} logins at once while {bench.size.bystanders} sockets echo", head)
    site = bench.site(limited=True)
    people = await People.of(bench, site)
    site.environ |= PROXY
    people.share(await site.add_user("alice"), "alice")

    async def log_in(number: int) -> str:
        async with Visitor(server.port, f"198.51.100.{number % 250}") as user:
            answer = await user.log_in(f"user-{number}", people.password)
        return answer.code or str(answer.status)

    async with site.serving() as (server,), _sockets(bench, server, people, account) as held:
        quiet = Quiet()
        async with _watched(server, bench.size.seconds, quiet):
            answers = Counter(await asyncio.gather(*(log_in(number) for number in range(bench.size.logins))))
    account.hold(answers["200"] > 0, "nobody logged in")
    took = f"{quiet.end - quiet.start:.1f}"
    account.row(str(bench.size.logins), _counted(answers), took, *quiet.echoes(held), quiet.memory())
    return account


async def storm(bench: Bench, count: int) -> Account:
    """Bring forged tokens, from one address and from a thousand, and count what the audit log has of it."""
    head = (
        *("forged handshakes", "answers", "a second", "echo p50 / p99 before", "during"),
        *("memory before → highest → after", "entries", "that count", "left out"),
    )
    account = Account(f"{count:,} bad handshakes while {bench.size.bystanders} sockets echo", head)
    for title, addresses in {"from one address": 1, "from 1,000 addresses": 1_000}.items():
        site = bench.site(limited=True)
        people = await People.of(bench, site)
        site.environ |= PROXY
        quiet = Quiet()
        async with site.serving() as (server,), _sockets(bench, server, people, account) as held:
            async with _watched(server, bench.size.seconds, quiet):
                answers = await _forge(server, count, addresses)
            written = await _settled(people.audit, count)
        rate = f"{count / (quiet.end - quiet.start):,.0f}"
        log = (f"{written.entries:,}", f"{written.counted:,}", f"{written.left_out:,}")
        account.row(title, _counted(answers), rate, *quiet.echoes(held), quiet.memory(), *log)
        account.hold("101" not in answers, f"{title}: a forged token was taken")
        account.hold(written.told == count, f"{title}: the log tells of {written.told:,} of {count:,}")
    return account


async def sink(bench: Bench, count: int) -> Account:
    """Lock the audit log's file below a storm of which each handshake has an address of its own, and let go of it."""
    head = (
        *("handshakes", "answers", "echo p50 / p99 before", "while it stood", "memory before → highest → after"),
        *("newcomer meanwhile", "afterwards", "entries", "that count", "left out"),
    )
    account = Account(f"An audit log that is locked ({WAITING:,} entries may wait)", head)
    site, quiet = bench.site(limited=True), Quiet()
    people = await People.of(bench, site)
    site.environ |= PROXY
    async with site.serving() as (server,), _sockets(bench, server, people, account) as held:
        async with _watched(server, bench.size.seconds, quiet):
            with closing(sqlite3.connect(people.audit, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                answers = await _forge(server, count, count)
                meanwhile = await _newcomer(server, people)
        afterwards, refused = await _newcomer(server, people), count + (meanwhile != "in")
        began = time.monotonic()
        while afterwards != "in" and time.monotonic() - began < SETTLING:
            refused += 1
            await asyncio.sleep(1)
            afterwards = await _newcomer(server, people)
        took = time.monotonic() - began
        written = await _settled(people.audit, refused)
        quiet.after = server.memory() / MIB
        verified = await site.command("audit", "verify")
    log = (f"{written.entries:,}", f"{written.counted:,}", f"{written.left_out:,}")
    newcomers = (f"`{meanwhile}`", f"{afterwards} after {took:.1f} s")
    account.row(f"{count:,}", _counted(answers), *quiet.echoes(held), quiet.memory(), *newcomers, *log)
    account.hold("101" not in answers, "a forged token was taken")
    account.hold(afterwards == "in", "nobody comes in afterwards")
    account.hold(written.told == refused, f"the log tells of {written.told:,} of {refused:,}")
    account.hold("nothing is missing" in verified, f"wsauth audit verify: {verified.strip()}")
    return account


async def _newcomer(server: Server, people: People) -> str:
    """Bring a good token; return `in`, or the code of the refusal."""
    async with Visitor(server.port, "198.51.100.77") as visitor:
        answer = await visitor.shake(bearer(people.tokens[-1]))
        return answer.code or ("in" if await visitor.echoes() else "no echo")


async def _forge(server: Server, count: int, addresses: int) -> Counter[str]:
    """Bring so many forged tokens, a few at a time, from so many addresses, and count the answers."""
    answers: Counter[str] = Counter()
    numbers = iter(range(count))

    async def come() -> None:
        for number in numbers:
            at = number % addresses
            async with Visitor(server.port, f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}") as stranger:
                answer = await stranger.shake(bearer(f"e30.{number}.forged"))
            answers[answer.code or str(answer.status)] += 1

    await asyncio.gather(*(come() for _ in range(TOGETHER)))
    return answers


async def _settled(path: Path, count: int) -> Written:
    """Return what the audit log tells, once it tells of so many events, or has had its time."""
    ends = time.monotonic() + SETTLING
    while True:
        written = in_store(path)
        if written.told >= count or time.monotonic() > ends:
            return written
        await asyncio.sleep(0.5)


@asynccontextmanager
async def _sockets(bench: Bench, server: Server, people: People, account: Account) -> AsyncGenerator[Held]:
    """Hold the sockets that echo, one of each user; a socket that is closed is an error."""
    count = bench.size.bystanders
    tokens = people.tokens[:count]
    async with bench.generator.holding(server.port, tokens, count, pace_ms=bench.size.pace_ms) as held:
        yield held
    account.errors.take(held.errors)


@asynccontextmanager
async def _watched(server: Server, seconds: float, quiet: Quiet) -> AsyncGenerator[None]:
    """Take a time of rest, then watch the memory until the push has ended and has been rested from."""
    await asyncio.sleep(REST)
    quiet.before, quiet.began = server.memory() / MIB, time.time()
    await asyncio.sleep(seconds)
    quiet.start = time.time()
    watching = asyncio.create_task(_look(server, quiet))
    try:
        yield
    finally:
        quiet.end = time.time()
        watching.cancel()
    await asyncio.sleep(REST)
    quiet.after = server.memory() / MIB


async def _look(server: Server, quiet: Quiet) -> None:
    while True:
        quiet.highest = max(quiet.highest, server.memory() / MIB)
        await asyncio.sleep(LOOK)


def _counted(answers: Counter[str]) -> str:
    return ", ".join(f"{count:,} × `{code}`" for code, count in sorted(answers.items()))


def _echo(echoes: list[Echo]) -> str:
    half, most = (percentile((echo.took for echo in echoes), share) * 1e3 for share in (0.5, 0.99))
    return f"{half:.1f} / {most:.1f} ms"
