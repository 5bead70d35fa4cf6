"""Kill a server with everybody on it, start it again, and have everybody come back at once from one address.

The limits are the default ones. An office has one address; so has a site behind a proxy that nobody declared, whatever
its X-Forwarded-For says, and there strangers have used up the address's limits before.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from benchmarks.door.account import Account
from benchmarks.door.people import People
from benchmarks.door.visitor import Visitor, bearer
from benchmarks.gateway.wsauth import ORIGIN
from benchmarks.served.bench import Bench
from benchmarks.served.process import Site
from benchmarks.served.sockets import percentile

STRANGERS = 400
"""Connections that bring nothing, and as many with a forged token: more than one address may make in a minute."""
WARNING = "server.trusted_proxies = ['127.0.0.1']"
"""What the log says to do where a proxy was not declared."""
PATIENCE = 60.0
"""Seconds until somebody has to be in."""
TOGETHER = 64
"""Strangers under way at once."""


@dataclass(slots=True)
class Returned:
    """How the users came back.

    Attributes:
        took: seconds of each who is in, from when the server listened.
        at_once: who were in with their first try.
        refusals: what the other tries were answered.
    """

    took: list[float] = field(default_factory=list)
    at_once: int = 0
    refusals: Counter[str] = field(default_factory=Counter)


async def office(bench: Bench, count: int) -> Account:
    """Restart below an office, and below a site behind a proxy that nobody declared, for each way to come in."""
    head = ("who, by what", "users", "in at the first try", "in", "half of them, s", "all of them, s", "refused tries")
    account = Account(f"{count} users of one address after a restart", head)
    for place in ("an office", "behind an undeclared proxy"):
        proxied = place != "an office"
        site = bench.site(limited=True)
        people = await People.of(bench, site)
        cookies = [f"Cookie: {cookie}\r\nOrigin: {ORIGIN}\r\n" for cookie in people.cookies]
        ways = {
            "access token": [bearer(token) for token in people.tokens[:count]],
            "session cookie": cookies[:count],
            "ticket": [f"ticket={ticket}" for ticket in await people.tickets(count)],
            "message": [f"message={token}" for token in people.tokens[:count]],
        }
        if proxied:
            del ways["message"]  # until they have said who they are they are strangers, of whom there are too many
        for way, credentials in ways.items():
            title = f"{place}, {way}"
            returned, warnings = await _restarted(site, ways["access token"], credentials, proxied=proxied)
            _tell(account, title, count, returned)
            account.hold(not proxied or warnings == 1, f"{title}: the log warns {warnings} times, not once")
    return account


def _tell(account: Account, title: str, count: int, returned: Returned) -> None:
    took, refused = returned.took, returned.refusals
    half, whole = (f"{percentile(took, share):.2f}" for share in (0.5, 1))
    rest = ", ".join(f"{number:,} × `{code}`" for code, number in sorted(refused.items())) or "none"
    account.row(title, str(count), str(returned.at_once), f"**{len(took)}**", half, whole, rest)
    account.hold(len(took) == count, f"{title}: not everybody is in")


async def _restarted(
    site: Site, tokens: Sequence[str], credentials: Sequence[str], *, proxied: bool
) -> tuple[Returned, int]:
    """Let everybody in, kill the server, start it again on its port, and let everybody come back.

    Returns:
        how, and how often the log warned of a proxy.
    """
    site.environ["WSAUTH__SERVER__PORT"] = "0"
    async with site.serving() as (server,), AsyncExitStack() as open_:
        before = Returned()
        await _all(server.port, tokens, proxied, before, open_)
    site.environ["WSAUTH__SERVER__PORT"] = str(server.port)
    async with site.serving() as (server,), AsyncExitStack() as open_:
        if proxied:
            await _strangers(server.port)
        returned = Returned()
        await _all(server.port, credentials, proxied, returned, open_)
        return returned, (site.folder / "said-0").read_text().count(WARNING)


async def _all(port: int, credentials: Sequence[str], proxied: bool, found: Returned, open_: AsyncExitStack) -> None:
    began = time.monotonic()
    visitors = [Visitor(port, _address(number) if proxied else "") for number in range(len(credentials))]
    pairs = zip(visitors, credentials, strict=True)
    await asyncio.gather(*(_come(visitor, text, began, found, open_) for visitor, text in pairs))


async def _come(visitor: Visitor, credential: str, began: float, found: Returned, open_: AsyncExitStack) -> None:
    """Come in, as often as it takes, waiting as long as one is told, and a moment by chance."""
    for number in range(100):
        if time.monotonic() - began > PATIENCE:
            return
        code, wait = await _try(visitor, credential)
        if not code:
            open_.push_async_exit(visitor)
            found.took.append(time.monotonic() - began)
            found.at_once += number == 0
            return
        found.refusals[code] += 1
        await asyncio.sleep(max(wait, 1) * random.uniform(0.5, 1.5))


async def _try(visitor: Visitor, credential: str) -> tuple[str, float]:
    """Try once; return what was said instead, and how long to wait."""
    kind, _, secret = credential.partition("=")
    try:
        await visitor.__aenter__()
        if kind == "ticket":
            answer = await visitor.shake(path=f"/ws?ticket={secret}")
        else:
            answer = await visitor.shake("" if kind == "message" else credential)
        code, wait = answer.code, answer.retry_after
        if kind == "message" and not code:
            code = await visitor.introduce(token=secret)
        if not code and await visitor.echoes():
            return "", 0
    except (ConnectionError, EOFError) as error:
        code, wait = type(error).__name__, 0
    await visitor.__aexit__()
    return code, wait


async def _strangers(port: int) -> None:
    """Use up what an address may do without authenticating."""
    numbers = iter(range(STRANGERS))

    async def come() -> None:
        for number in numbers:
            for fields in ("", bearer(f"forged-{number}")):
                with suppress(ConnectionError, EOFError):  # cut without an answer: it made room for others
                    async with Visitor(port, _address(number)) as stranger:
                        await stranger.shake(fields)

    await asyncio.gather(*(come() for _ in range(TOGETHER)))


def _address(number: int) -> str:
    return f"198.51.{100 + number // 250}.{number % 250}"
