"""Sessions that began at a provider: it is asked again, by one process at a time, and its no ends them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.services.ground import LIMITS, Ground, ground, refused
from wsauth.core.identity import Identity
from wsauth.errors import Refused
from wsauth.interfaces.provider import Said
from wsauth.interfaces.sessions import Known
from wsauth.services.keyfile import KeyFile
from wsauth.services.sessions import identity_of
from wsauth.services.vouching import Vouching

LOGIN = "https://login.example.com"
ALICE = Identity("alice", issuer=LOGIN, roles=["member"])
RECHECK = 400.0


class Scripted:
    """Be a provider that says what the test says.

    Attributes:
        answer: whom it speaks of, or its no.
        tokens: the refresh tokens that it was asked with.
        gate: has to be set before it answers.
        asked: is set once it was asked.
        rotates: a token comes with each answer, also where the rest of it fails.
        hangs: the rest of it does not come.
    """

    name, recheck = "idp", RECHECK

    def __init__(self) -> None:
        self.answer: Identity | Refused = ALICE
        self.tokens: list[str] = []
        self.rotates = True
        self.hangs = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def renew(self, refresh_token: str, whom: Identity, keep: Callable[[str], None]) -> Said:
        """Answer."""
        self.tokens.append(refresh_token)
        if self.hangs:
            keep(f"token {len(self.tokens)}")
            self.asked.set()
            await asyncio.Event().wait()
        self.asked.set()
        await self.gate.wait()
        if self.rotates:
            keep(f"token {len(self.tokens)}")
        if isinstance(self.answer, Refused):
            raise self.answer.as_value()
        return self.said(f"token {len(self.tokens)}")

    def said(self, token: str | None) -> Said:
        """Return what it says."""
        assert isinstance(self.answer, Identity)
        return Said(whom=self.answer, knows_roles=True, session_id=None, issued_at=0.0, refresh_token=token)

    async def aclose(self) -> None:
        """Do nothing."""


def with_provider(it: Ground, provider: Scripted | None) -> None:
    """Have a process ask this provider."""
    providers = {} if provider is None else {"idp": provider}
    it.sessions._vouching = Vouching(
        providers,  # type: ignore[arg-type]  # as far as it is asked here
        it.store.sessions, it.sessions.end, key_file=it.key_file, limits=LIMITS, clock=it.clock,
    )  # fmt: skip


@pytest.fixture
async def idp(it: Ground) -> AsyncGenerator[Scripted]:
    """Sign people in with a provider."""
    provider = Scripted()
    with_provider(it, provider)
    yield provider
    await it.sessions._vouching.aclose()


async def signed_in(it: Ground, idp: Scripted, token: str | None = "token 0") -> Known:
    """Sign Alice in."""
    return await it.sessions.sign_in(idp.said(token), "tokens", idp, seen=0)  # type: ignore[arg-type]  # as above


async def refreshed(it: Ground, known: Known) -> Known:
    """Refresh, as its client does."""
    return await it.sessions.refresh(it.sessions.refresh_token(known.session))


async def test_a_session_stands_on_the_last_yes(it: Ground, idp: Scripted) -> None:
    """Its leases end with that; the provider is asked again when half of it is over, with the next token each time."""
    known = await signed_in(it, idp)
    assert known.session.vouched_until == it.clock.now() + RECHECK
    assert identity_of(known, LIMITS).expires_at == it.clock.now() + RECHECK
    for _ in range(20):
        known = await refreshed(it, known)
    it.clock.advance(RECHECK / 2 - 1)
    known = await refreshed(it, known)
    assert idp.tokens == []
    for number in range(3):
        it.clock.advance(RECHECK / 2)
        known = await refreshed(it, known)
        assert idp.tokens[-1] == f"token {number}"
        assert known.session.vouched_until == it.clock.now() + RECHECK


async def test_a_no_ends_the_session(it: Ground, idp: Scripted) -> None:
    """And nobody is asked about it any more."""
    known = await signed_in(it, idp)
    it.clock.advance(300)
    idp.answer = Refused("session_revoked", "gone")
    assert await refused(refreshed(it, known)) == "session_revoked"
    assert await it.store.sessions.find(known.session.id, LIMITS, it.clock.now()) is None
    assert await refused(refreshed(it, known)) == "session_revoked"
    assert len(idp.tokens) == 1


async def test_no_answer_shortens_the_lease_and_then_refuses(it: Ground, idp: Scripted) -> None:
    """While the last yes counts, a refresh is good up to its end; then it waits, its token unused."""
    known = await signed_in(it, idp)
    idp.answer, idp.rotates = Refused("unavailable", "down"), False
    it.clock.advance(300)
    known = await refreshed(it, known)
    assert LIMITS.stands_until(known.session) == it.clock.now() + 100
    it.clock.advance(100)
    generation = known.session.generation
    assert await refused(refreshed(it, known)) == "unavailable"
    idp.answer = ALICE
    it.clock.advance(LIMITS.grace + 1)
    known = await refreshed(it, known)
    assert known.session.generation == generation + 1


async def test_a_cookie_is_looked_at_too(it: Ground, idp: Scripted) -> None:
    """Handshakes and requests by cookie do not outlive the provider's yes."""
    known = await it.sessions.sign_in(idp.said("token 0"), "cookie", idp, seen=0)  # type: ignore[arg-type]  # as above
    cookie = it.sessions.cookie(known.session)
    assert await it.sessions.of_cookie(cookie) is not None
    it.clock.advance(RECHECK)
    idp.answer = Refused("unavailable", "down")
    assert await refused(it.sessions.of_cookie(cookie)) == "unavailable"
    idp.answer = ALICE.replace(roles=["owner"])
    found = await it.sessions.of_cookie(cookie)
    assert found is not None
    assert found.user.roles == ("owner",)
    touched = await it.sessions.touch(known.session.id, 0)
    assert touched.session.vouched_until == it.clock.now() + RECHECK


async def test_one_question_for_all_who_wait(it: Ground, idp: Scripted) -> None:
    """Fifty requests by one cookie at once ask once, and one who gives up takes the answer from nobody."""
    known = await it.sessions.sign_in(idp.said("token 0"), "cookie", idp, seen=0)  # type: ignore[arg-type]  # as above
    cookie = it.sessions.cookie(known.session)
    it.clock.advance(RECHECK)
    idp.gate.clear()
    asking = [asyncio.ensure_future(it.sessions.of_cookie(cookie)) for _ in range(50)]
    await asyncio.wait_for(idp.asked.wait(), 10)
    asking[0].cancel()
    idp.gate.set()
    found = await asyncio.gather(*asking[1:])
    assert all(each is not None and each.user.subject == "alice" for each in found)
    assert idp.tokens == ["token 0"]


async def test_two_processes_ask_once(it: Ground, idp: Scripted, tmp_path: Path) -> None:
    """The other one waits for the answer, and has it from the store."""
    known = await it.sessions.sign_in(idp.said("token 0"), "cookie", idp, seen=0)  # type: ignore[arg-type]  # as above
    cookie = it.sessions.cookie(known.session)
    async with ground(tmp_path, it.clock) as there:
        beside = Scripted()
        with_provider(there, beside)
        assert await there.sessions.of_cookie(cookie) is not None  # so that it is in its memory
        it.clock.advance(RECHECK)
        idp.gate.clear()
        first = asyncio.ensure_future(it.sessions.of_cookie(cookie))
        await asyncio.wait_for(idp.asked.wait(), 10)
        second = asyncio.ensure_future(there.sessions.of_cookie(cookie))
        await asyncio.sleep(0.05)
        idp.gate.set()
        assert await first is not None
        assert await second is not None
        assert (idp.tokens, beside.tokens) == (["token 0"], [])
        assert await there.sessions.of_cookie(cookie) is not None


async def test_the_next_token_is_kept_whatever_becomes_of_the_rest(it: Ground, idp: Scripted) -> None:
    """The provider has given another token, and then its userinfo fails: the used one is never sent again."""
    known = await signed_in(it, idp)
    it.clock.advance(300)
    idp.answer = Refused("unavailable", "the userinfo endpoint is down")
    known = await refreshed(it, known)
    idp.answer = ALICE
    await refreshed(it, known)
    assert idp.tokens == ["token 0", "token 1"]


async def test_the_end_waits_for_what_was_asked(it: Ground, idp: Scripted) -> None:
    """A process that stops takes the answer first, so that the next one has the token that is good."""
    known = await it.sessions.sign_in(idp.said("token 0"), "cookie", idp, seen=0)  # type: ignore[arg-type]  # as above
    it.clock.advance(RECHECK)
    idp.gate.clear()
    asking = asyncio.ensure_future(it.sessions.of_cookie(it.sessions.cookie(known.session)))
    await asyncio.wait_for(idp.asked.wait(), 10)
    ending = asyncio.ensure_future(it.sessions._vouching.aclose())
    await asyncio.sleep(0)
    idp.gate.set()
    await ending
    assert await asking is not None
    blob = await it.store.sessions.ask(known.session.id, it.clock.now(), 10.0)
    assert it.key_file.unwrap("refresh tokens of providers", known.session.id, blob or b"") == b"token 1"


async def test_who_is_late_overwrites_nothing(it: Ground, idp: Scripted, tmp_path: Path) -> None:
    """A question hangs for so long that another process asks: what that one was told stays."""
    known = await it.sessions.sign_in(idp.said("token 0"), "cookie", idp, seen=0)  # type: ignore[arg-type]  # as above
    cookie = it.sessions.cookie(known.session)
    async with ground(tmp_path, it.clock) as there:
        beside = Scripted()
        beside.tokens.append("so that its next token has another number")
        with_provider(there, beside)
        it.clock.advance(RECHECK)
        idp.gate.clear()
        late = asyncio.ensure_future(it.sessions.of_cookie(cookie))
        await asyncio.wait_for(idp.asked.wait(), 10)
        it.clock.advance(21)
        assert await there.sessions.of_cookie(cookie) is not None
        idp.answer = Refused("unavailable", "it hung up")
        idp.gate.set()
        with suppress(Refused):
            await late
        found = await there.store.sessions.find(known.session.id, LIMITS, it.clock.now())
        assert found is not None
        assert found.session.vouched_until == it.clock.now() + RECHECK
        blob = await there.store.sessions.ask(known.session.id, it.clock.now(), 10.0)
        assert there.key_file.unwrap("refresh tokens of providers", known.session.id, blob or b"") == b"token 2"


async def test_a_yes_that_is_over_is_nobodys(it: Ground, idp: Scripted, tmp_path: Path) -> None:
    """Another process has asked since, and that answer is over too: the provider is asked, before a token moves on."""
    known = await it.sessions.sign_in(idp.said("token 0"), "cookie", idp, seen=0)  # type: ignore[arg-type]  # as above
    cookie = it.sessions.cookie(known.session)
    async with ground(tmp_path, it.clock) as there:
        beside = Scripted()
        with_provider(there, beside)
        assert await there.sessions.of_cookie(cookie) is not None  # so that it is in its memory
        it.clock.advance(RECHECK)
        assert await it.sessions.of_cookie(cookie) is not None
        it.clock.advance(RECHECK)
        beside.answer = Refused("session_revoked", "gone")
        assert await refused(there.sessions.of_cookie(cookie)) == "session_revoked"
        assert beside.tokens == ["token 1"]


async def test_what_was_given_is_kept_when_the_process_ends(it: Ground, idp: Scripted) -> None:
    """The token endpoint has answered and the rest hangs: the end does not wait for it, and keeps the next token."""
    known = await it.sessions.sign_in(idp.said("token 0"), "cookie", idp, seen=0)  # type: ignore[arg-type]  # as above
    it.clock.advance(RECHECK)
    idp.hangs = True
    asking = asyncio.ensure_future(it.sessions.of_cookie(it.sessions.cookie(known.session)))
    await asyncio.wait_for(idp.asked.wait(), 10)
    it.sessions._vouching._asking[known.session.id].cancel()
    with suppress(Refused):
        await asking
    blob = await it.store.sessions.ask(known.session.id, it.clock.now(), 10.0)
    assert it.key_file.unwrap("refresh tokens of providers", known.session.id, blob or b"") == b"token 1"


async def test_who_only_wants_out_need_not_be_vouched_for(it: Ground, idp: Scripted) -> None:
    """A cookie can be proved without the provider, to log out or to be replaced by another login."""
    known = await it.sessions.sign_in(idp.said("token 0"), "cookie", idp, seen=0)  # type: ignore[arg-type]  # as above
    cookie = it.sessions.cookie(known.session)
    it.clock.advance(RECHECK)
    idp.answer = Refused("unavailable", "down")
    assert await it.sessions.of_cookie(cookie, vouched=False) is not None


async def test_without_a_refresh_token_nobody_is_asked(it: Ground, idp: Scripted) -> None:
    """The session lives as long as any other."""
    known = await signed_in(it, idp, None)
    for _ in range(20):
        it.clock.advance(3600)
        known = await refreshed(it, known)
    assert idp.tokens == []
    assert known.session.vouched_until is None


async def test_who_is_configured_no_more_vouches_for_nobody(it: Ground, idp: Scripted) -> None:
    """An entry of [[issuers]] is taken away: its sessions are refused, also those that nobody was asked about."""
    known = await signed_in(it, idp, None)
    with_provider(it, None)
    assert await refused(refreshed(it, known)) == "session_revoked"


async def test_the_refresh_token_is_wrapped(it: Ground, idp: Scripted) -> None:
    """The store alone shows it to nobody, another key does not open it, and another session's place does not either."""
    known = await signed_in(it, idp, "a token to be hidden")
    blob = await it.store.sessions.ask(known.session.id, it.clock.now(), 10.0)
    assert blob is not None
    assert b"hidden" not in blob
    purpose = "refresh tokens of providers"
    assert it.key_file.unwrap(purpose, known.session.id, blob) == b"a token to be hidden"
    for key, name in ((KeyFile.in_memory(), known.session.id), (it.key_file, "another session")):
        with pytest.raises(Exception, match="secret"):
            key.unwrap(purpose, name, blob)
    assert "hidden" not in repr(idp.said("a token to be hidden"))
