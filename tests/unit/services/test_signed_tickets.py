"""Signed tickets over a real store: single use, every binding, and what is none."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.services.ground import HOUR, LIMITS, PASSWORD, Ground
from wsauth.core.identity import OWN_ISSUER, Identity
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.sessions import Known
from wsauth.services.keyfile import KeyFile
from wsauth.services.sessions import identity_of
from wsauth.services.tickets import SignedTickets

PAGE = "https://app.example.com"
ALICE = Identity(
    "alice", issuer="https://login.example.com", roles=["member"], claims={"iat": 1, "n": [1, {"a": None}]}
)


async def verdict(it: Ground, ticket: str, path: str = "/ws", origin: str = PAGE) -> str:
    """Return whose ticket it is, or the code of the refusal."""
    try:
        return (await it.tickets.redeem(ticket, path, origin)).subject
    except Refused as no:
        return no.code


async def session_of(it: Ground) -> Known:
    """Log Alice in."""
    await it.alice()
    return await it.sessions.login("alice", PASSWORD, "tokens")


async def test_a_ticket_brings_whom_it_was_made_for(it: Ground) -> None:
    """Everything but the handles of Python objects comes back as it went in."""
    whole = ALICE.replace(expires_at=it.clock.now() + 60, session_id="s", token_id="t", auth_time=5.5)
    assert await it.tickets.redeem(await it.tickets.issue(whole, None, None), "/any", "") == whole


async def test_a_ticket_is_used_once(it: Ground) -> None:
    """A hundred at once: one is let in; and nobody is afterwards, nor when the ticket's own time is over."""
    ticket = await it.tickets.issue(ALICE, None, None)
    verdicts = await asyncio.gather(*(verdict(it, ticket) for _ in range(100)))
    assert sorted(verdicts) == ["alice"] + ["ticket_invalid"] * 99
    it.clock.advance(HOUR)
    await it.store.feed.prune(it.clock.now())
    assert await verdict(it, ticket) == "ticket_invalid"


@pytest.mark.parametrize(
    ("path", "origin", "good"),
    [
        ("/ws", PAGE, True),
        ("/ws", PAGE.upper(), True),
        ("/ws/", PAGE, False),
        ("/WS", PAGE, False),
        ("/ws", "https://mallory.example", False),
        ("/ws", "", False),
        ("/ws", "https://app.example.com.mallory.example", False),
    ],
)
async def test_a_ticket_is_bound_to_path_and_origin(it: Ground, path: str, origin: str, good: bool) -> None:
    """Elsewhere it opens nothing, and is spent there all the same."""
    ticket = await it.tickets.issue(ALICE, "/ws", PAGE)
    assert await verdict(it, ticket, path, origin) == ("alice" if good else "ticket_invalid")
    assert await verdict(it, ticket) == "ticket_invalid"


async def test_a_ticket_ends_after_its_time(it: Ground) -> None:
    """In its last second it is good, at its end it is not; a longer one is good for longer."""
    short, long = await it.tickets.issue(ALICE, None, None), await it.tickets.issue(ALICE, None, None, ttl=60)
    in_time = await it.tickets.issue(ALICE, None, None)
    it.clock.advance(29.9)
    assert await verdict(it, in_time) == "alice"
    it.clock.advance(0.1)
    assert await verdict(it, short) == "ticket_invalid"
    assert await verdict(it, long) == "alice"


async def test_bits_that_change_make_it_nobodys(it: Ground) -> None:
    """Every character changed, left out, doubled; the halves of two tickets; padding; and an endless one."""
    ticket, other = await it.tickets.issue(ALICE, "/ws", PAGE), await it.tickets.issue(ALICE, "/ws", PAGE)
    wrong = [ticket[:at] + ("A" if ticket[at] != "A" else "B") + ticket[at + 1 :] for at in range(len(ticket))]
    wrong += [ticket[:at] + ticket[at + 1 :] for at in range(0, len(ticket), 7)]
    wrong += [ticket + "=", ticket + ".", ticket + "A", " " + ticket, ticket.split(".")[0], "", ".", "ä.ä"]
    wrong += [f"{ticket.split('.')[0]}.{other.split('.')[1]}", "A" * 100_000, "A" * 8000 + "." + "A" * 43]
    for value in wrong:
        assert await verdict(it, value) == "ticket_invalid"
    assert await verdict(it, ticket) == "alice"


async def test_another_key_file_makes_no_tickets_of_ours(it: Ground) -> None:
    """Mallory has the store and the source, and a key file of her own."""
    forger = SignedTickets(it.store.tickets, KeyFile.in_memory(), LIMITS, it.clock, 30.0)
    assert await verdict(it, await forger.issue(ALICE, None, None)) == "ticket_invalid"


async def test_what_another_purpose_signed_is_no_ticket(it: Ground) -> None:
    """A refresh token and a cookie are made with the same key file and are no tickets."""
    known = await session_of(it)
    for value in (it.sessions.refresh_token(known.session), it.sessions.cookie(known.session), it.access(known)):
        assert await verdict(it, value) == "ticket_invalid"


def _loop() -> dict[str, Any]:
    claims: dict[str, Any] = {}
    claims["self"] = claims
    return claims


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"x": object()},
        lambda: {"x": 1j},
        lambda: {"x": "\ud800"},
        lambda: {(1, 2): 3},
        _loop,
        lambda: {"x": "long" * 4000},
    ],
    ids=["object", "complex", "half a pair", "tuple as a name", "itself", "too long"],
)
async def test_claims_that_no_ticket_can_hold_are_said_at_once(it: Ground, make: Callable[[], Any]) -> None:
    """Whoever asks for the ticket is told, by a `ConfigurationError` that names the identity."""
    with pytest.raises(ConfigurationError, match="alice"):
        await it.tickets.issue(ALICE.replace(claims=make()), None, None)


async def test_a_ticket_is_for_somebody_whose_credential_lives(it: Ground) -> None:
    """An ended identity gets none, and what is no identity is a mistake of the caller's."""
    with pytest.raises(Refused, match="token_expired"):
        await it.tickets.issue(ALICE.replace(expires_at=it.clock.now()), None, None)
    with pytest.raises(ConfigurationError):
        await it.tickets.issue("alice", None, None)  # type: ignore[arg-type]  # what a caller in a hurry writes


@pytest.mark.parametrize("how", ["end", "logout", "disable", "remove", "password", "all", "time"])
async def test_a_ticket_of_an_ended_session_is_dead(it: Ground, how: str) -> None:
    """However the session ended between making and using it."""
    known = await session_of(it)
    ticket = await it.tickets.issue(identity_of(known, LIMITS), None, None, ttl=LIMITS.idle + 60)
    if how == "end":
        await it.sessions.end(known.session.id)
    elif how == "logout":
        await it.sessions.end_all("alice")
    elif how == "disable":
        await it.users.disable("alice")
    elif how == "remove":
        await it.users.remove("alice")
        await it.alice()
    elif how == "password":
        await it.users.set_password("alice", PASSWORD + "!")
    elif how == "all":
        await it.store.feed.revoke_all(it.clock.now(), 4e9, "order")
    else:
        it.clock.advance(LIMITS.idle)
    assert await verdict(it, ticket) == "ticket_invalid"


@pytest.mark.parametrize("how", ["key", "disable", "none"])
async def test_a_ticket_of_a_service_is_as_good_as_its_key(it: Ground, how: str) -> None:
    """It has no session; the user's epoch says whether the key is still the one that asked."""
    user, key = await it.users.add_service("robot")
    asked = Identity("robot", issuer=OWN_ISSUER, claims={"epoch": user.epoch, "kind": "key"})
    ticket = await it.tickets.issue(asked, None, None)
    if how == "key":
        await it.users.reset_key("robot")
    elif how == "disable":
        await it.users.disable("robot")
    assert key
    assert await verdict(it, ticket) == ("robot" if how == "none" else "ticket_invalid")


async def test_the_carried_sessions_tickets_are_good(it: Ground) -> None:
    """Made before the password changed, by the session that changed it, a ticket opens; another session's does not."""
    mine = await session_of(it)
    other = await it.sessions.login("alice", PASSWORD, "tokens")
    tickets = [await it.tickets.issue(identity_of(known, LIMITS), None, None) for known in (mine, other)]
    await it.change_password(mine)
    assert [await verdict(it, ticket) for ticket in tickets] == ["Alice", "ticket_invalid"]


async def test_a_ticket_of_ours_is_of_its_own_kind(it: Ground) -> None:
    """What asked for it, a connection or a key, is not what it opens; of others' claims none is touched."""
    ours = Identity("robot", issuer=OWN_ISSUER, claims={"kind": "connection"})
    theirs = ALICE.replace(claims={"kind": "connection"})
    kinds = []
    for identity in (ours, theirs):
        redeemed = await it.tickets.redeem(await it.tickets.issue(identity, None, None), "/", "")
        kinds.append(redeemed.claims["kind"])
    assert kinds == ["ticket", "connection"]
