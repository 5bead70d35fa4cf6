"""Revocations and changes that come while a handshake, a renewal or a refresh is on its way."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.races.world import PASSWORD, Face, Process, eventually
from wsauth.core.identity import NOBODY
from wsauth.errors import Refused
from wsauth.interfaces.sessions import Known
from wsauth.services.sessions import identity_of
from wsauth.testing import FakeClock


async def end(here: Process, how: str, known: Known) -> None:
    """End Alice's session in one of the ways there are."""
    if how == "session":
        await here.local.sessions.end(known.session.id)
    elif how == "logout everywhere":
        await here.local.sessions.end_all("alice")
    elif how == "disable":
        await here.local.users.disable("alice")
    elif how == "remove":
        await here.local.users.remove("alice")
    elif how == "password":
        await here.local.users.set_password("alice", PASSWORD + "!")
    elif how == "subject":
        await here.guard.revoke(subject="alice", issuer="wsauth")
    else:
        await here.guard.backend.revoke_all()


WAYS = ["session", "logout everywhere", "disable", "remove", "password", "subject", "all"]


async def held_by(here: Process, source: str, known: Known) -> Face:
    """Begin a handshake whose verdict is known and not yet reported: the store was asked."""
    face = Face()
    face.verdicts.clear()
    if source == "ticket":
        return here.begin(query=f"ticket={await _ticket(here, known)}", face=face)
    return here.cookie(known.session, face=face)


async def _identity(here: Process, known: Known) -> Any:
    found = await here.local.sessions.find(known.session.id)
    assert found is not None
    return identity_of(found, here.local.limits)


async def _ticket(here: Process, known: Known) -> str:
    return await here.guard.issue_ticket(await _identity(here, known))


@pytest.mark.parametrize("source", ["cookie", "ticket"])
@pytest.mark.parametrize("how", WAYS)
async def test_what_is_revoked_while_it_is_verified_opens_nothing(here: Process, source: str, how: str) -> None:
    """The credential was found good; before that is reported, the session ends: the handshake is refused."""
    known = await here.login(kind="cookie" if source == "cookie" else "tokens")
    face = await held_by(here, source, known)
    await face.judged.wait()
    await end(here, how, known)
    face.verdicts.set()
    await face.settled()
    assert face.code == "session_revoked"
    assert not face.connection.machine.opened


@pytest.mark.parametrize("how", WAYS)
async def test_a_token_is_judged_in_the_step_in_which_it_comes(here: Process, how: str) -> None:
    """So nothing can be revoked in between: a moment before, nobody gets in, and there is no moment after."""
    known = await here.login()
    token = here.access(known)
    face = Face()
    face.accepting.clear()
    here.bearer(token, face=face)
    assert face.connection.identity.session_id == known.session.id
    await end(here, how, known)
    late = here.bearer(token)
    assert late.code == "session_revoked"


@pytest.mark.parametrize("how", WAYS)
async def test_what_is_revoked_while_the_application_starts_never_opens(here: Process, how: str) -> None:
    """The lease is granted and the application not yet there; it never sees the connection open."""
    known = await here.login()
    face = Face()
    face.accepting.clear()
    here.bearer(here.access(known), face=face)
    await eventually(lambda: face.connection.machine.lease is not None)
    await end(here, how, known)
    face.accepting.set()
    await face.settled()
    assert face.code == "session_revoked"
    assert not face.connection.machine.opened


@pytest.mark.parametrize("how", WAYS)
async def test_what_is_revoked_while_it_is_renewed_closes(here: Process, how: str) -> None:
    """A renewal was found good; before that is reported the session ends: the socket closes and stays closed."""
    known = await here.login()
    face = await here.connected(here.bearer(here.access(known)))
    face.verdicts.clear()
    face.judged.clear()
    face.say(type="auth", ticket=await _ticket(here, known))
    await face.judged.wait()
    await end(here, how, known)
    face.verdicts.set()
    await face.settled()
    assert face.code == "session_revoked"
    assert not face.open
    face.say(type="chat", text="hello")
    assert face.delivered == []


@pytest.mark.parametrize("how", WAYS)
async def test_a_renewal_by_another_session_does_not_save_what_was_revoked(here: Process, how: str) -> None:
    """Alice's socket is renewed by her second login; the end of all her logins ends it, that of the first does not."""
    first, second = await here.login(), await here.login()
    face = await here.connected(here.bearer(here.access(first)))
    face.say(type="auth", token=here.access(second))
    await eventually(lambda: face.connection.identity.session_id == second.session.id)
    await end(here, how, first)
    if how == "session":
        await asyncio.sleep(0.1)
        assert face.open
    else:
        await face.settled()
        assert face.code == "session_revoked"


async def test_a_refresh_that_a_revocation_meets_yields_nothing_alive(here: Process) -> None:
    """Twenty refreshes and the end of the session at once: whatever was answered opens nothing afterwards."""
    known = await here.login()
    token = here.local.sessions.refresh_token(known.session)
    refreshes = [here.local.sessions.refresh(token) for _ in range(20)]
    outcomes = await asyncio.gather(
        *refreshes[:10], here.local.sessions.end(known.session.id), *refreshes[10:], return_exceptions=True
    )
    for after in [one for one in outcomes if isinstance(one, Known)]:
        face = here.bearer(here.access(after))
        await face.settled()
        assert face.code == "session_revoked"
        with pytest.raises(Refused, match="session_revoked"):
            await here.local.sessions.refresh(here.local.sessions.refresh_token(after.session))


async def test_of_a_hundred_redemptions_in_two_processes_one_opens(here: Process, there: Process) -> None:
    """One ticket is tried a hundred times at once, in both processes: one socket opens."""
    identity = await _identity(here, await here.login())
    query = f"ticket={await here.guard.issue_ticket(identity)}"
    faces = [(here if number % 2 else there).begin(query=query) for number in range(100)]
    for face in faces:
        await face.settled()
    assert Counter(face.code for face in faces) == {"": 1, "ticket_invalid": 99}


async def test_fifty_refreshes_in_two_processes_have_one_successor(here: Process, there: Process) -> None:
    """Two processes answer fifty tabs with one and the same next token."""
    known = await here.login()
    token = here.local.sessions.refresh_token(known.session)
    done = await asyncio.gather(*((here if n % 2 else there).local.sessions.refresh(token) for n in range(50)))
    assert len({here.local.sessions.refresh_token(after.session) for after in done}) == 1


@pytest.mark.parametrize("stage", ["verifying", "connecting", "open"])
async def test_rights_that_change_during_a_handshake_are_those_of_now(here: Process, stage: str) -> None:
    """Alice is made a member at some moment of her handshake; when it is open, she is a member."""
    known = await here.login(kind="cookie")
    face = Face()
    if stage == "verifying":
        face.verdicts.clear()
    elif stage == "connecting":
        face.accepting.clear()
    here.cookie(known.session, face=face)
    await eventually(lambda: face.judged.is_set() if stage == "verifying" else face.connection.machine.lease)
    await here.local.users.set_rights("alice", roles=["member"])
    seen, before = here.guard.connections.revocations, identity_of(known, here.local.limits)
    await eventually(lambda: seen.overlay(before).roles == ("member",))
    face.verdicts.set()
    face.accepting.set()
    await here.connected(face)
    assert face.connection.identity.roles == ("member",)
    assert face.connection.allows("chat:1:read")
    assert not face.connection.allows("chat:1:send")


async def test_rights_reach_open_sockets_of_another_process(here: Process, there: Process) -> None:
    """Bob becomes an owner here; there his socket is told within a second, and one with fixed roles is not."""
    known = await here.login("bob")
    face = await there.connected(there.bearer(here.access(known)))
    user = await here.local.users.get("bob")
    fixed = here.local.tokens.issue_by_hand("bob", ttl=300, roles=["member"], user=user)
    kept = await there.connected(there.bearer(fixed))
    await here.local.users.set_rights("bob", roles=["owner"], grants=["wsauth:revoke"])
    await eventually(lambda: face.connection.allows("wsauth:revoke"), within=1.0)
    assert face.connection.allows("chat:1:send")
    assert face.said[-1]["type"] == "auth_changed"
    assert not kept.connection.allows("chat:1:send")
    assert not kept.connection.allows("wsauth:revoke")


async def test_a_remembered_token_has_the_rights_of_now(here: Process) -> None:
    """Bob's token was found good a moment ago; what he is granted and what he loses counts from the next handshake."""
    token = here.access(await here.login("bob"))
    await here.connected(here.bearer(token))
    await here.local.users.set_rights("bob", roles=[], grants=["wsauth:tickets"])
    seen = here.guard.connections.revocations
    await eventually(lambda: seen.overlay(here.local.tokens.recall(token) or NOBODY).grants)
    face = await here.connected(here.bearer(token))
    assert face.connection.allows("wsauth:tickets")
    assert not face.connection.allows("chat:1:read")
    await here.local.users.set_rights("bob", roles=["member"], grants=[])
    await eventually(lambda: not face.connection.allows("wsauth:tickets"))
    assert face.connection.allows("chat:1:read")


async def test_who_changes_the_password_keeps_their_sockets(here: Process, there: Process, clock: FakeClock) -> None:
    """The carried session's sockets and tokens of before are good in both processes; all others' are closed."""
    mine, other = await here.login(), await here.login()
    token = here.access(mine)
    kept = [await process.connected(process.bearer(token)) for process in (here, there)]
    lost = [await process.connected(process.bearer(here.access(other))) for process in (here, there)]
    user = await here.local.users.get("alice")

    async def hashed() -> str:
        return await here.local.users.hash_password(PASSWORD + "!", "alice")

    await here.local.sessions.change_password(user, PASSWORD, hashed, mine.session.id)
    await eventually(lambda: all(face.code == "session_revoked" for face in lost))
    await here.local.users.set_rights("alice", roles=["member"])
    await eventually(lambda: all(face.connection.identity.roles == ("member",) for face in kept))
    assert all(face.open for face in kept)
    again = await there.connected(there.bearer(token))
    ticket = await here.guard.issue_ticket(again.connection.identity)
    await there.connected(there.begin(query=f"ticket={ticket}"))


async def test_a_verdict_on_a_socket_that_is_gone_leaves_nothing_behind(here: Process) -> None:
    """The client goes while its ticket is looked up; the late verdict keeps nothing in memory."""
    face = await held_by(here, "ticket", await here.login())
    await face.judged.wait()
    face.connection.gone(1006, "")
    face.verdicts.set()
    await asyncio.sleep(0.01)
    assert len(here.guard.connections) == 0
    assert here.guard.connections._by_handle == {}


async def test_no_order_leaves_an_open_socket_with_a_dead_lease(here: Process, there: Process) -> None:
    """Handshakes, renewals and ends of logins in two processes, all at once: afterwards nobody old is open."""
    faces: list[Face] = []

    async def come(process: Process) -> None:
        try:
            known = await process.login()
        except Refused:
            return
        face = (there if process is here else here).bearer(process.access(known))
        faces.append(face)
        await face.settled()
        if face.open:
            face.say(type="auth", token=process.access(known))

    await asyncio.gather(
        *(come(here if number % 2 else there) for number in range(12)),
        here.local.sessions.end_all("alice"),
        there.local.users.set_password("alice", PASSWORD + "!"),
    )
    await there.local.sessions.end_all("alice")
    for process in (here, there):
        process.guard.backend.reader.poke()
    await eventually(lambda: all(face.code for face in faces))
