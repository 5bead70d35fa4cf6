"""Accounts of other issuers' subjects, and the sessions that began with a login there."""

import asyncio
from secrets import token_urlsafe

import msgspec
import pytest

from tests.conformance_store.cast import LIMITS, NOW
from tests.conformance_store.reading import rows_of
from wsauth.core.feed import NewRow, pair_key
from wsauth.core.identity import account_of
from wsauth.core.sessions import Session, SignIn
from wsauth.core.users import User
from wsauth.interfaces.sessions import Known
from wsauth.interfaces.store import Store

LOGIN = "https://login.example.com"
OTHER = "https://other.example.com"


def session(subject: str = "Alice", issuer: str = LOGIN, vouched_until: float | None = None) -> Session:
    """Return a new session of another issuer's subject."""
    return Session(
        id=token_urlsafe(24), subject=subject, issuer=issuer, kind="tokens", generation=0, generation_at=NOW, epoch=0,
        created_at=NOW, refreshed_at=NOW, provider="idp", vouched_until=vouched_until,
    )  # fmt: skip


def said(*roles: str, sid: str | None = None, at: float = NOW, seen: int = 0, token: bytes | None = None) -> SignIn:
    """Return what the provider said."""
    return SignIn(roles=roles, session_id=sid, issued_at=at, seen=seen, refresh_token=token)


async def signed_in(store: Store, *roles: str, whose: Session | None = None, sid: str | None = None) -> Known:
    """Sign in."""
    known = await store.sessions.sign_in(whose or session(), said(*roles, sid=sid))
    assert known is not None
    return known


def row(kind: str, key: str, **value: float) -> NewRow:
    """Return a row of a revocation."""
    return NewRow(kind=kind, key=key, value=value, keep_until=NOW * 2, order="o-1")  # type: ignore[arg-type]  # one of the kinds


async def test_the_first_login_makes_the_account(store: Store, owner: User) -> None:
    """Issuer and subject are its name; our own user of that name, another issuer's and other cases are others."""
    first = await signed_in(store, "member")
    again = await signed_in(store, "member")
    assert first.user == again.user
    assert (first.user.issuer, first.user.subject, first.user.roles) == (LOGIN, "Alice", ("member",))
    others = [await signed_in(store, whose=session(*whom)) for whom in (("Alice", OTHER), ("alice", LOGIN))]
    accounts = {owner.username, first.user.username, *(each.user.username for each in others)}
    assert len(accounts) == 4
    found = await store.sessions.find(first.session.id, LIMITS, NOW)
    assert found == first
    theirs = await store.sessions.of(account_of(OTHER, "Alice"), LIMITS, NOW)
    assert [each.id for each in theirs] == [others[0].session.id]


async def test_accounts_are_no_users(store: Store, owner: User) -> None:
    """Nobody logs in by their names, and they are in no list of users."""
    known = await signed_in(store)
    assert await store.users.find(known.user.username) is None
    assert await store.users.count() == 1
    assert list(await store.users.page("", 10)) == [owner]
    assert await store.users.set_rights(known.user.username, ["owner"], ["wsauth:admin"]) is None
    assert await store.users.set_password(known.user.username, "$argon2id$mallory") is None
    assert await store.users.set_disabled(known.user.username, True) is None
    assert await store.users.set_disabled(known.user.username, False) is None
    assert not await store.users.remove(known.user.username)
    assert await store.sessions.find(known.session.id, LIMITS, NOW) == known


async def test_the_last_word_on_roles_counts(store: Store) -> None:
    """Another login with other roles changes those of the account, and tells of it with issuer and subject."""
    first = await signed_in(store, "member")
    await signed_in(store, "owner")
    known = await store.sessions.find(first.session.id, LIMITS, NOW)
    assert known is not None
    assert known.user.roles == ("owner",)
    told = [each for each in await rows_of(store) if each.kind == "user"]
    assert [(each.key, each.value["issuer"], each.value["subject"]) for each in told] == [
        (known.user.username, LOGIN, "Alice")
    ] * 2
    assert "epoch" in told[1].value  # the logins go on
    before = len(await rows_of(store))
    await signed_in(store, "owner")
    assert len(await rows_of(store)) == before


async def test_what_was_told_meanwhile_opens_nothing(store: Store) -> None:
    """A log-out that came while the provider was asked ends a login that is not newer; one from before does not."""
    pair, seen = pair_key(LOGIN, "Alice"), await store.feed.newest()
    await store.feed.publish([row("subject", pair, until=NOW)])
    assert await store.sessions.sign_in(session(), said(at=NOW, seen=seen)) is None
    assert await store.sessions.sign_in(session(), said(at=NOW + 1, seen=seen)) is not None
    assert await store.sessions.sign_in(session("bob"), said(at=NOW, seen=seen)) is not None
    seen = await store.feed.newest()
    assert await store.sessions.sign_in(session(), said(at=NOW, seen=seen)) is not None
    await store.feed.publish([row("session", "s-1")])
    assert await store.sessions.sign_in(session(), said(at=NOW, seen=seen, sid="s-1")) is None
    assert await store.sessions.sign_in(session(), said(at=NOW, seen=seen, sid="s-2")) is not None
    seen = await store.feed.newest()
    assert await store.users.end_logins(account_of(LOGIN, "Alice")) is not None
    assert await store.sessions.sign_in(session(), said(at=NOW + 9, seen=seen)) is None
    await store.feed.revoke_all(NOW, NOW * 2, "o-2")
    assert await store.sessions.sign_in(session(), said(at=NOW + 9, seen=seen)) is None


async def test_a_refused_login_leaves_nothing(store: Store) -> None:
    """It makes no account, and changes no roles."""
    await store.feed.publish([row("subject", pair_key(LOGIN, "Alice"), until=NOW)])
    assert await store.sessions.sign_in(session(), said("owner")) is None
    assert not [each for each in await rows_of(store) if each.kind == "user"]


async def test_first_logins_at_once_are_all_in(store: Store) -> None:
    """Two tabs sign in for the first time: that the one made the account is no end of the other's login."""
    seen = await store.feed.newest()
    found = await asyncio.gather(*(store.sessions.sign_in(session(), said("member", seen=seen)) for _ in range(5)))
    assert None not in found


async def test_nobody_elses_account_is_a_users(store: Store, owner: User) -> None:
    """A provider that calls itself wsauth gets nobody in."""
    with pytest.raises(ValueError, match="nobody else's"):
        await store.sessions.sign_in(session(owner.username, "wsauth"), said("admin", seen=await store.feed.newest()))


async def test_a_log_out_at_the_provider_ends_what_began_with_it(store: Store) -> None:
    """By its session, or by the subject up to a time; not by another issuer's session of that id, nor our own."""
    hers = [await signed_in(store, sid="s-1"), await signed_in(store, sid="s-2")]
    namesake = await signed_in(store, whose=session(issuer=OTHER), sid="s-1")
    newer = await store.sessions.sign_in(session(), said(at=NOW + 10, sid="s-3"))
    assert newer is not None
    await store.sessions.end_at_provider(LOGIN, row("session", "s-1"), session_id="s-1", subject=None, until=NOW)
    live = [each for each in (*hers, namesake, newer) if await store.sessions.find(each.session.id, LIMITS, NOW)]
    assert live == [hers[1], namesake, newer]
    pair = pair_key(LOGIN, "Alice")
    await store.sessions.end_at_provider(
        LOGIN, row("subject", pair, until=NOW + 5), session_id=None, subject="Alice", until=NOW + 5
    )
    live = [each for each in (*hers, namesake, newer) if await store.sessions.find(each.session.id, LIMITS, NOW)]
    assert live == [namesake, newer]
    told = [(each.kind, each.key, each.order) for each in await rows_of(store) if each.order]
    assert told == [
        ("session", hers[0].session.id, "o-1"), ("session", "s-1", "o-1"),
        ("session", hers[1].session.id, "o-1"), ("subject", pair, "o-1"),
    ]  # fmt: skip


async def test_one_asks_the_provider_at_a_time(store: Store) -> None:
    """Of fifty at once one gets the wrapped token; until it has said what came of it nobody else."""
    held = session(vouched_until=NOW + 60)
    known = await store.sessions.sign_in(held, said("member", token=b"wrapped"))
    assert known is not None
    got = await asyncio.gather(*(store.sessions.ask(held.id, NOW, 10.0) for _ in range(50)))
    assert [each for each in got if each is not None] == [b"wrapped"]
    assert await store.sessions.ask(held.id, NOW + 9, 10.0) is None
    assert await store.sessions.ask(held.id, NOW + 10, 10.0) == b"wrapped"
    assert await store.sessions.vouch(held, NOW + 99, b"late", ["late"], asked_at=NOW)  # somebody took it since
    assert await store.sessions.vouch(held, NOW + 120, b"the next", ["owner"], asked_at=NOW + 10)
    found = await store.sessions.find(held.id, LIMITS, NOW)
    assert found is not None
    assert (found.session.vouched_until, found.user.roles) == (NOW + 120, ("owner",))
    assert await store.sessions.ask(held.id, NOW + 11, 10.0) == b"the next"
    await store.sessions.end(held.id)
    assert not await store.sessions.vouch(held, NOW + 180, b"x", None, asked_at=NOW + 11)
    assert await store.sessions.ask(held.id, NOW + 99, 10.0) is None


async def test_nobody_is_asked_about_a_session_without_a_token(store: Store) -> None:
    """A provider that gave no refresh token is not asked, and our own users have none."""
    known = await signed_in(store)
    assert known.session.vouched_until is None
    assert await store.sessions.ask(known.session.id, NOW, 10.0) is None
    assert msgspec.structs.replace(known.session, id="x").account == known.user.username
