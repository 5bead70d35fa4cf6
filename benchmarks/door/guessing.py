"""Guess passwords in every way there is, and count how many are looked at; the honest user comes in meanwhile.

Everything has its default. The addresses are told by a proxy that is believed, or forged where there is none.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.door.account import Account
from benchmarks.door.visitor import Visitor, basic, cookie_of
from benchmarks.served.bench import Bench
from benchmarks.served.process import Site

CONFIG = """
[[routes]]
path = "/ws"
upstream = "echo"
sources = ["header", "basic", "message"]
"""
TOGETHER = 16
"""Guesses under way at once."""
LOOKED_AT = "credentials_invalid"
"""What a password is answered with that reached the hash; everything else was said before."""
HONEST = 60.0
"""Seconds within which the honest user has to be in."""
BEGUN = 3.0
"""Seconds of the attack before the honest user comes: everything is locked by then."""


@dataclass(frozen=True, slots=True)
class Attack:
    """Who guesses whose password from where.

    Attributes:
        title: for the table.
        name: of the account of a guess, by its number.
        address: that it says to come from.
        believed: the peer is a proxy of ours.
    """

    title: str
    name: Callable[[int], str]
    address: Callable[[int], str]
    believed: bool = True


def _one(_: int) -> str:
    return "203.0.113.9"


def _thousand(number: int) -> str:
    return f"203.0.{number % 1000 // 250}.{number % 250}"


ATTACKS = (
    Attack("one account, one address", lambda _: "alice", _one),
    Attack("one account, 1,000 addresses", lambda _: "alice", _thousand),
    Attack("one password, as many accounts, one address", "user{}".format, _one),
    Attack("one account, forged headers from no proxy", lambda _: "alice", _thousand, believed=False),
)


async def guessing(bench: Bench, guesses: int) -> Account:
    """Make every attack on a store of its own."""
    head = ("attack", "guesses", "looked at", "the rest", "s", "alice from a known device", "from elsewhere")
    account = Account(f"{guesses:,} guesses, by HTTP, Basic and message in turn", head)
    for attack in ATTACKS:
        site = bench.site(CONFIG, limited=True)
        if attack.believed:
            site.environ["WSAUTH__SERVER__TRUSTED_PROXIES"] = '["127.0.0.0/8"]'
        await _make(attack, guesses, site, account)
    return account


async def _make(attack: Attack, guesses: int, site: Site, account: Account) -> None:
    password = await site.add_user("alice")
    async with site.serving() as (server,):
        async with Visitor(server.port, "198.51.100.1") as alice:
            device = cookie_of((await alice.log_in("alice", password)).head, "-device")
        account.hold(bool(device), "the first login gave no device cookie")
        began = time.monotonic()
        running = asyncio.create_task(_guesses(server.port, attack, guesses))
        await asyncio.sleep(BEGUN)
        known = await _honest(Visitor(server.port, "198.51.100.2", "127.0.0.2"), password, device)
        elsewhere = await _honest(Visitor(server.port, "198.51.100.3", "127.0.0.3"), password)
        found = await running
        seconds = time.monotonic() - began
    rest = ", ".join(f"{count:,} × `{code}`" for code, count in sorted(found.items()) if code != LOOKED_AT)
    honest = ["not in" if took is None else f"in after {took:.1f} s" for took in (known, elsewhere)]
    account.row(attack.title, f"{guesses:,}", f"**{found[LOOKED_AT]:,}**", rest, f"{seconds:.0f}", *honest)
    account.hold(known is not None, f"{attack.title}: alice came not in from a known device")
    account.hold(elsewhere is not None, f"{attack.title}: alice came not in from elsewhere")
    account.hold("" not in found, f"{attack.title}: a guess was right")
    account.hold(found.total() == guesses, f"{attack.title}: a guess was not answered")


async def _guesses(port: int, attack: Attack, count: int) -> Counter[str]:
    """Make so many guesses, a few at a time, and count how they are answered."""
    found: Counter[str] = Counter()
    numbers = iter(range(count))

    async def guess(numbers: Iterator[int]) -> None:
        for number in numbers:
            async with Visitor(port, attack.address(number)) as guesser:
                found[await _guess(guesser, number, attack.name(number))] += 1

    await asyncio.gather(*(guess(numbers) for _ in range(TOGETHER)))
    return found


async def _guess(guesser: Visitor, number: int, name: str) -> str:
    """Try a wrong password, in one of three ways, and return the code of the answer."""
    password = f"guess {number}"
    if number % 3 == 0:
        return (await guesser.log_in(name, password)).code
    if number % 3 == 1:
        return (await guesser.shake(basic(name, password))).code
    opened = await guesser.shake()
    return opened.code if opened.status != 101 else await guesser.introduce(username=name, password=password)


async def _honest(alice: Visitor, password: str, device: str = "") -> float | None:
    """Log the honest user in, as often as it takes; return the seconds until then, `None`: it took too long."""
    began = time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(HONEST):
            while True:
                async with alice:
                    answer = await alice.log_in("alice", password, device)
                if answer.status == 200:
                    return time.monotonic() - began
                await asyncio.sleep(min(answer.retry_after, 1.0))
    return None
