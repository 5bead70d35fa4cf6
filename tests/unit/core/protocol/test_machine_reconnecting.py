"""`on_rights_change = "reconnect"`: what is behind was told of rights once, and cannot be told that they are gone."""

import pytest

from tests.unit.core.protocol.driving import (
    BEARER,
    NOW,
    ORIGIN,
    Driven,
    connecting,
    delivered,
    handshake,
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

RECONNECT = policy(on_rights_change="reconnect")
GUEST = person(roles=["guest"])


def closes(ordered: list[commands.Command]) -> commands.Close:
    """Return the close frame, which is the last thing, and behind which nothing passes."""
    assert not of(ordered, commands.Pause)
    assert not delivered(ordered)
    [close] = of(ordered, commands.Close)
    assert plain(ordered)[-1] == "Close"
    return close


@pytest.mark.parametrize("speaks", [True, False])
def test_what_an_administrator_takes_away_closes(speaks: bool) -> None:
    """1012 and when to come back; the log names what is gone, and the application cannot ask for it any more."""
    driven = opened(RECONNECT) if speaks else silent(RECONNECT)
    ordered = driven.change_rights(GUEST)
    assert closes(ordered) == commands.Close(1012, "rights_changed;id=id0000000001;retry_after=3", at_once=True)
    assert [message["type"] for message in sent(ordered)] == (["auth_error"] if speaks else [])
    for error in sent(ordered):
        assert (error["code"], error["action"], error["closing"]) == ("rights_changed", "retry", True)
    [closed] = told(ordered)
    assert isinstance(closed, events.Closed)
    assert closed.explanation.endswith("was told of: chat:*:read, chat:lobby:send, member")
    assert closed.mend == "on_rights_change"
    assert not lease_of(driven).permissions.allow("chat:lobby:send")


@pytest.mark.parametrize(("drawn", "wait"), [(0.0, 1), (0.5, 3), (1.0, 5)])
def test_those_who_lose_rights_together_do_not_come_back_together(drawn: float, wait: int) -> None:
    """They are spread over one to five seconds."""
    driven = opened(RECONNECT, draw=lambda: drawn)
    assert closes(driven.change_rights(GUEST)).reason.endswith(f";retry_after={wait}")


def test_a_role_alone_is_a_right_too() -> None:
    """The upstream was told of roles, also of those that give nothing here."""
    driven = opened(RECONNECT, person(roles=["member", "friend"]))
    assert closes(driven.change_rights(person())).code == 1012


@pytest.mark.parametrize("roles", [["member", "friend"], ["member", "guest"], ["member"]])
def test_what_is_given_keeps_the_connection(roles: list[str]) -> None:
    """More rights, and equal ones, are told as ever."""
    driven = opened(RECONNECT)
    ordered = driven.change_rights(person(roles=roles))
    assert plain(ordered) == ([] if roles == ["member"] else ["Send"])
    assert driven.machine.passing


def test_what_came_and_went_again_is_no_loss() -> None:
    """The upstream never heard of it."""
    driven = opened(RECONNECT, GUEST)
    driven.change_rights(person(roles=["guest", "member"]))
    ordered = driven.change_rights(GUEST)
    assert [message["type"] for message in sent(ordered)] == ["auth_changed"]
    [rights] = told(ordered)
    assert isinstance(rights, events.RightsChanged)
    assert rights.lost == ("chat:*:read", "chat:lobby:send")
    assert driven.machine.passing


def test_what_is_taken_after_something_was_given_is_a_loss() -> None:
    """What counts is what the upstream was told, and not what was there last."""
    driven = opened(RECONNECT)
    driven.change_rights(person(roles=["member", "guest"]))
    assert closes(driven.change_rights(GUEST)).code == 1012


def test_a_renewal_with_less_closes() -> None:
    """Nobody hears that the credential was good, since it opens nothing here; the next connection has the rest."""
    driven = opened(RECONNECT)
    driven.present()
    driven.say("before the verdict")
    ordered = driven.answer(person(roles=["guest"], iat=NOW + 1))
    assert closes(ordered).code == 1012
    assert [message["type"] for message in sent(ordered)] == ["auth_error"]
    assert [type(event) for event in told(ordered)] == [events.Closed]
    assert lease_of(driven).identity.roles == ("guest",)


def test_a_renewal_with_less_lets_nothing_of_a_stale_connection_pass() -> None:
    """Neither side goes on, not even for a moment, and what waited is dropped."""
    driven = stale(RECONNECT)
    driven.say("hello")
    driven.present()
    assert closes(driven.answer(person(roles=["guest"], iat=NOW + 1, ends=NOW + 900))).code == 1012
    assert delivered(driven.ordered) == []


def test_a_renewal_with_more_is_a_renewal() -> None:
    """It is answered, and the new rights are in force."""
    driven = opened(RECONNECT, GUEST)
    driven.present()
    ordered = driven.answer(person(roles=["guest", "member"], iat=NOW + 1))
    assert [message["type"] for message in sent(ordered)] == ["auth_success"]
    assert lease_of(driven).permissions.allow("chat:lobby:send")


def test_what_is_lost_while_stale_closes() -> None:
    """There is no grace for it."""
    assert closes(stale(RECONNECT).change_rights(GUEST)).code == 1012


@pytest.mark.parametrize("page", [True, False])
def test_what_is_lost_while_connecting_refuses_the_handshake(page: bool) -> None:
    """By HTTP, also to a page, which may simply come again; the accept of what is behind comes too late."""
    driven = Driven(handshake(RECONNECT, BEARER, *([ORIGIN] if page else []), offers=("wsauth.v1",)))
    driven.start()
    driven.answer(person())
    ordered = driven.change_rights(GUEST)
    assert plain(ordered) == ["Refuse"]
    refusal = of(ordered, commands.Refuse)[0].refusal
    assert (refusal.code, refusal.http_status, refusal.retry_after) == ("rights_changed", 503, 3.0)
    assert plain(driven.connect()) == []


def test_what_is_lost_while_connecting_in_band_closes() -> None:
    """The 101 is with the client already."""
    driven = Driven(handshake(RECONNECT))
    driven.start()
    driven.present()
    driven.answer(person())
    assert driven.state is State.CONNECTING
    assert closes(driven.change_rights(GUEST)).code == 1012


def test_what_is_behind_is_told_of_the_rights_of_that_moment() -> None:
    """What was given while it was being reached is told to it, so that taking it away again is a loss."""
    driven = connecting(RECONNECT, GUEST)
    driven.change_rights(person(roles=["guest", "member"]))
    assert driven.machine.introduce() is lease_of(driven)
    driven.connect()
    assert closes(driven.change_rights(GUEST)).code == 1012


def test_what_came_while_connecting_and_was_not_told_is_no_loss() -> None:
    """It was given a moment after the upstream had been told."""
    driven = connecting(RECONNECT, GUEST)
    driven.machine.introduce()
    driven.change_rights(person(roles=["guest", "member"]))
    driven.connect()
    assert plain(driven.change_rights(GUEST)) == ["Send"]


def nobody() -> Driven:
    """Return nobody's connection, where nobody may read in the lobby."""
    rules = policy(on_rights_change="reconnect", anonymous=True)
    roles = {"anonymous": ["chat:lobby:read"], "member": ["chat:lobby:send"]}
    driven = Driven(handshake(rules, offers=("wsauth.v1",)), roles=roles)
    driven.start()
    driven.machine.introduce()
    driven.connect()
    assert lease_of(driven).identity is NOBODY
    driven.present()
    return driven


def test_nobody_becoming_somebody_is_no_loss() -> None:
    """Alice may do less than nobody could; whoever wants that back comes as nobody."""
    driven = nobody()
    ordered = driven.answer(person())
    assert [message["type"] for message in sent(ordered)] == ["auth_success"]
    assert not lease_of(driven).permissions.allow("chat:lobby:read")
    assert driven.machine.passing


def test_the_upstream_was_told_of_nobodys_rights_only() -> None:
    """What Alice loses later it has never heard of."""
    driven = nobody()
    driven.answer(person())
    assert plain(driven.change_rights(person(roles=[]))) == ["Send"]


def test_the_routes_permission_goes_first() -> None:
    """Whoever may not connect again is told so."""
    driven = opened(policy(on_rights_change="reconnect", require=("chat:lobby:send",)))
    assert closes(driven.change_rights(GUEST)).code == 3003


def test_keep_goes_on() -> None:
    """Where the route says so, nothing but the telling happens."""
    driven = opened(policy(on_rights_change="keep"))
    assert plain(driven.change_rights(GUEST)) == ["Send"]
    driven.present()
    ordered = driven.answer(person(roles=[], iat=NOW + 1))
    assert [message["type"] for message in sent(ordered)] == ["auth_success"]
