"""Tickets are spent once, and not at all when what they rest on is gone."""

from tests.conformance_store.cast import LIMITS, NOW, login, ticket
from wsauth.core.users import User
from wsauth.interfaces.store import Store

END = NOW + 30


async def test_a_ticket_is_spent_once(store: Store) -> None:
    """The second is told no; another ticket is another ticket."""
    first, second = ticket(), ticket()
    assert await store.tickets.burn(first, END, LIMITS, NOW)
    assert not await store.tickets.burn(first, END, LIMITS, NOW)
    assert await store.tickets.burn(second, END, LIMITS, NOW)


async def test_a_ticket_that_has_ended_is_not_spent(store: Store) -> None:
    """At its end it is no longer good, even if nobody remembers that it was used."""
    used = ticket()
    assert await store.tickets.burn(used, END, LIMITS, NOW)
    await store.feed.prune(END + 3600)
    assert not await store.tickets.burn(used, END, LIMITS, END)
    assert not await store.tickets.burn(ticket(), END, LIMITS, END)


async def test_used_tickets_are_remembered_while_they_are_good(store: Store) -> None:
    """Pruning forgets no ticket that somebody might still take."""
    used = ticket()
    assert await store.tickets.burn(used, END, LIMITS, NOW)
    await store.feed.prune(END - 1)
    assert not await store.tickets.burn(used, END, LIMITS, END - 1)


async def test_a_ticket_dies_with_its_session(store: Store, owner: User) -> None:
    """A ticket of a session that was ended, or has ended by time, opens nothing."""
    session, idle = login(owner), login(owner, at=NOW - LIMITS.idle)
    assert await store.sessions.open(session)
    assert await store.sessions.open(idle)
    assert await store.tickets.burn(ticket(), END, LIMITS, NOW, session_id=session.id)
    assert not await store.tickets.burn(ticket(), END, LIMITS, NOW, session_id=idle.id)
    await store.sessions.end(session.id)
    assert not await store.tickets.burn(ticket(), END, LIMITS, NOW, session_id=session.id)


async def test_a_ticket_dies_with_its_users_epoch(store: Store, owner: User) -> None:
    """A ticket of a user whose logins were ended, or who is disabled or unknown, opens nothing."""
    assert await store.tickets.burn(ticket(), END, LIMITS, NOW, subject="Alice", epoch=owner.epoch)
    assert not await store.tickets.burn(ticket(), END, LIMITS, NOW, subject="mallory", epoch=owner.epoch)
    ended = await store.users.end_logins("alice")
    assert ended is not None
    assert not await store.tickets.burn(ticket(), END, LIMITS, NOW, subject="Alice", epoch=owner.epoch)
    assert await store.tickets.burn(ticket(), END, LIMITS, NOW, subject="Alice", epoch=ended.epoch)
    disabled = await store.users.set_disabled("alice", True)
    assert disabled is not None
    assert not await store.tickets.burn(ticket(), END, LIMITS, NOW, subject="Alice", epoch=disabled.epoch)


async def test_a_refused_ticket_is_not_spent(store: Store, owner: User) -> None:
    """What could not be spent, since its user was not there, is good when they are."""
    unspent = ticket()
    assert not await store.tickets.burn(unspent, END, LIMITS, NOW, subject="bob", epoch=1)
    assert await store.tickets.burn(unspent, END, LIMITS, NOW, subject="Alice", epoch=owner.epoch)
