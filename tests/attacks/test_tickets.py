"""ATTACKS.md, group "Tickets and one-time tokens", in one process: every test is named by its row."""

import asyncio
import json
import time

import pytest

from tests.attacks.cast import ISSUER, ORIGIN
from tests.attacks.wire import Answer, ask, frame, request, wire
from tests.servers import SERVERS, Running

everywhere = pytest.mark.parametrize("target", SERVERS, indirect=True)


async def use(target: Running, ticket: str, *lines: str, path: str = "/ws") -> Answer:
    """Return the answer to a handshake with the ticket in the query."""
    async with wire(target.port, request(f"{path}?ticket={ticket}", *lines)) as found:
        return await found.verdict()


@everywhere
async def test_tk_01_a_ticket_opens_once(target: Running) -> None:
    """The second use of a ticket is refused, by whichever way it comes."""
    ticket = await ask(target.port, "ticket")
    async with wire(target.port, request(f"/ws?ticket={ticket}")) as alice:
        assert (await alice.answer()).status == 101
        alice.send(frame("hi"))
        assert await alice.text() == "alice: hi"
    async with wire(target.port, request(f"/ws?ticket={ticket}")) as mallory:
        answer = await mallory.answer()
        if target.server == "daphne":
            assert (await mallory.closed()).reason == "ticket_invalid"
        else:
            assert (answer.status, answer.code) == (401, "ticket_invalid")
    async with wire(target.port, request("/ws")) as mallory:
        await mallory.answer()
        await mallory.message("auth_required")
        mallory.send(frame(json.dumps({"type": "auth", "ticket": ticket})))
        assert (await mallory.message("auth_error"))["code"] == "ticket_invalid"


async def test_tk_02_of_a_hundred_at_once_one_gets_in(target: Running) -> None:
    """A race for one ticket has one winner (within one process; a store for several comes later)."""
    ticket = await ask(target.port, "ticket")
    answers = await asyncio.gather(*(use(target, ticket) for _ in range(100)))
    assert sorted(answer.status for answer in answers) == [101, *[401] * 99]


async def test_tk_03_a_ticket_ends_on_time(target: Running) -> None:
    """A ticket of two seconds is good before and not after them."""
    early, late = [await ask(target.port, "ticket") for _ in range(2)]
    issued = time.monotonic()
    await asyncio.sleep(1)
    assert (await use(target, early)).status == 101
    await asyncio.sleep(2.05 - (time.monotonic() - issued))
    assert (await use(target, late)).code == "ticket_invalid"


async def test_tk_05_a_ticket_of_another_page_is_refused_and_burnt(target: Running) -> None:
    """A ticket for one origin is good from no other and from none, and a use without one spends it."""
    for wrong in ((), ("Origin: https://evil.example",)):
        ticket = await ask(target.port, "ticket", origin=ORIGIN)
        assert (await use(target, ticket, *wrong)).status in (401, 403)
        again = await use(target, ticket, f"Origin: {ORIGIN}")
        assert again.status == 101 if wrong else again.code == "ticket_invalid"
    ticket = await ask(target.port, "ticket", origin=ORIGIN)
    assert (await use(target, ticket, f"Origin: {ORIGIN}")).status == 101


async def test_tk_05_a_ticket_for_another_path_is_refused_and_burnt(target: Running) -> None:
    """A ticket for one path opens no other."""
    ticket = await ask(target.port, "ticket", path="/chat/1")
    assert (await use(target, ticket)).code == "ticket_invalid"
    assert (await use(target, ticket, path="/chat/1")).code == "ticket_invalid"


async def test_tk_06_a_revoked_subjects_ticket_is_worthless(target: Running) -> None:
    """A ticket made before the revocation does not open after it."""
    ticket = await ask(target.port, "ticket", subject="carol")
    await ask(target.port, "revoke", subject="carol", issuer=ISSUER)
    assert (await use(target, ticket)).code == "token_revoked"


@everywhere
async def test_tk_11_a_ticket_is_in_no_log_and_not_in_the_scope(target: Running) -> None:
    """Name and place of a ticket are logged at most; the application never sees it."""
    ticket = await ask(target.port, "ticket")
    async with wire(target.port, request(f"/ws?a=1&ticket={ticket}&b=2")) as alice:
        assert (await alice.answer()).status == 101
        alice.send(frame("scope"))
        seen = await alice.text()
        assert ticket not in seen
        assert "a=1&b=2" in seen
    assert ticket not in target.output()


async def test_tk_15_a_malformed_handshake_does_not_burn_a_ticket(target: Running) -> None:
    """Syntax and origin are looked at first; after them a ticket is spent, whatever then fails."""
    ticket = await ask(target.port, "ticket")
    assert (await use(target, ticket, "Sec-WebSocket-Version: 12")).status >= 400
    assert (await use(target, ticket, "Host: a/b")).status == 400
    assert (await use(target, ticket, "Origin: https://evil.example")).status == 403
    assert (await use(target, ticket, path="/admin")).status == 403
    assert (await use(target, ticket)).code == "ticket_invalid"
