"""Rights that an administrator changes while a connection is there."""

import pytest

from tests.unit.core.protocol.driving import (
    BEARER,
    NOW,
    PAGE,
    Driven,
    connecting,
    delivered,
    handshake,
    in_state,
    lease_of,
    of,
    opened,
    person,
    plain,
    policy,
    sent,
    silent,
    stale,
    told,
)
from wsauth.core import events
from wsauth.core.identity import NOBODY
from wsauth.core.protocol import commands
from wsauth.core.protocol.states import State
from wsauth.errors import ProtocolError


def test_changed_rights_are_told_and_the_end_stays() -> None:
    """Identity and permissions are replaced together; the client hears all of them, subscribers what came and went."""
    driven = opened()
    before = lease_of(driven)
    driven.now = NOW + 100
    guest = person(roles=["guest"])
    ordered = driven.change_rights(guest)
    after = lease_of(driven)
    assert (after.identity, after.permissions.names) == (guest, ("chat:lobby:read",))
    assert (after.granted_at, after.ends_at, after.fingerprint) == (NOW, NOW + 300, before.fingerprint)
    assert sent(ordered) == [
        {"type": "auth_changed", "wsauth": 1, "roles": ["guest"], "permissions": ["chat:lobby:read"]}
    ]
    [rights] = told(ordered)
    assert isinstance(rights, events.RightsChanged)
    assert (rights.gained, rights.lost) == (("chat:lobby:read",), ("chat:*:read", "chat:lobby:send"))
    assert rights.identity is guest
    assert driven.machine.passing
    assert driven.wake_at == NOW + 270


def test_a_role_that_gives_nothing_is_told_too() -> None:
    """The client shows roles, so it hears of them also where the permissions are the same."""
    ordered = opened().change_rights(person(roles=["member", "friend"]))
    assert sent(ordered)[0]["roles"] == ["member", "friend"]
    [rights] = told(ordered)
    assert isinstance(rights, events.RightsChanged)
    assert (rights.gained, rights.lost) == ((), ())


def test_equal_rights_are_replaced_silently() -> None:
    """Nothing is told, and the identity is the new one."""
    driven = opened(who=person(roles=["member", "guest"]))
    same = person(roles=["guest", "member"], claims={"seen": True})
    assert driven.change_rights(same) == []
    assert lease_of(driven).identity is same


def test_who_does_not_speak_hears_nothing_of_changed_rights() -> None:
    """Only subscribers do."""
    ordered = silent().change_rights(person(roles=["guest"]))
    assert plain(ordered) == []
    assert isinstance(told(ordered)[0], events.RightsChanged)


@pytest.mark.parametrize("speaks", [True, False])
def test_without_the_routes_permission_an_open_connection_ends(speaks: bool) -> None:
    """3003, under an id that the log explains; nothing passes, and the application cannot ask for the old rights."""
    rules = policy(require=("chat:lobby:send",))
    driven = opened(rules) if speaks else silent(rules)
    ordered = driven.change_rights(person(roles=["guest"]))
    assert plain(ordered) == (["Send", "Close"] if speaks else ["Close"])
    assert of(ordered, commands.Close)[0] == commands.Close(3003, "permission_denied;id=id0000000001", at_once=True)
    [closed] = told(ordered)
    assert isinstance(closed, events.Closed)
    assert "lacks 'chat:lobby:send'" in closed.explanation
    assert not lease_of(driven).permissions.allow("chat:lobby:send")
    assert delivered(driven.say("hello")) == []


def test_without_the_routes_permission_a_stale_connection_ends() -> None:
    """What waited is dropped, and nothing revives it."""
    driven = stale(policy(require=("chat:lobby:send",)))
    driven.say("hello")
    driven.present()
    assert of(driven.change_rights(person(roles=["guest"])), commands.Close)[0].code == 3003
    assert driven.answer(person(ends=NOW + 900, iat=NOW + 300)) == []
    assert driven.extend(NOW + 900) == []
    assert delivered(driven.ordered) == []


@pytest.mark.parametrize("page", [True, False])
def test_without_the_routes_permission_a_handshake_is_refused(page: bool) -> None:
    """A page reads 3003, everybody else gets HTTP 403; the application's accept comes too late."""
    origin = [(b"origin", PAGE.encode())] if page else []
    driven = Driven(handshake(policy(require=("chat:lobby:send",)), BEARER, *origin, offers=("wsauth.v1",)))
    driven.start()
    driven.answer(person())
    ordered = driven.change_rights(person(roles=["guest"]))
    assert plain(ordered) == (["Accept", "Send", "Close"] if page else ["Refuse"])
    assert not page or of(ordered, commands.Close)[0].code == 3003
    assert page or of(ordered, commands.Refuse)[0].refusal.http_status == 403
    assert plain(driven.connect()) == []


def test_rights_that_change_while_connecting_are_what_the_client_hears_first() -> None:
    """Nothing is said before `auth_success`, which tells the new ones."""
    driven = connecting()
    assert driven.change_rights(person(roles=["guest"])) == []
    ordered = driven.connect()
    assert [message["type"] for message in sent(ordered)] == ["auth_success"]
    assert sent(ordered)[0]["permissions"] == ["chat:lobby:read"]
    assert [type(event) for event in told(ordered)] == [events.Connected]


def test_rights_that_change_while_stale_do_not_revive() -> None:
    """The client hears of them, the connection stays as it is and ends when it would have ended."""
    driven = stale()
    driven.say("hello")
    ordered = driven.change_rights(person(roles=["guest"]))
    assert plain(ordered) == ["Send"]
    assert sent(ordered)[0]["type"] == "auth_changed"
    assert driven.state is State.STALE
    assert driven.wake_at == NOW + 310
    assert delivered(driven.extend(NOW + 600)) == ["hello"]


@pytest.mark.parametrize("state", [State.HANDSHAKING, State.PENDING, State.CLOSING, State.CLOSED])
def test_where_there_is_no_lease_no_rights_change(state: State) -> None:
    """Neither before anybody is known nor from the close on."""
    driven = in_state(state)
    lease = driven.machine.lease
    assert driven.change_rights(person(roles=["guest"])) == []
    assert driven.machine.lease is lease
    assert driven.state is state


def test_a_lease_never_becomes_somebody_elses() -> None:
    """Rights of Bob's for Alice's connection are a bug, and so are anybody's for nobody's."""
    driven = opened()
    with pytest.raises(ProtocolError, match="bob"):
        driven.change_rights(person("bob"))
    assert lease_of(driven).identity.subject == "alice"
    anonymous = Driven(handshake(policy(anonymous=True)))
    anonymous.start()
    with pytest.raises(ProtocolError):
        anonymous.change_rights(person())
    assert lease_of(anonymous).identity is NOBODY
