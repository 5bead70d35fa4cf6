"""The end of a lease that moves from elsewhere: its session was refreshed, or somebody was asked again."""

from math import inf

import pytest

from tests.unit.core.protocol.driving import (
    ISSUER,
    NOW,
    connecting,
    delivered,
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
from wsauth.core.lease import Lease
from wsauth.core.protocol import commands
from wsauth.core.protocol.states import State
from wsauth.errors import ProtocolError, Refused


def test_an_extension_moves_the_end_and_nothing_else() -> None:
    """Identity, rights and fingerprint stay, the client hears the lease as it is, and subscribers the new end."""
    driven = opened()
    before = lease_of(driven)
    driven.now = NOW + 200
    ordered = driven.extend(NOW + 500)
    assert lease_of(driven) == Lease(before.identity, before.permissions, NOW + 200, NOW + 500, before.fingerprint)
    assert sent(ordered) == [
        {
            "type": "auth_success",
            "wsauth": 1,
            "issuer": ISSUER,
            "subject": "alice",
            "roles": ["member"],
            "permissions": ["chat:*:read", "chat:lobby:send"],
            "expires_in": 300,
            "renew_in": 217,
        }
    ]
    [renewed] = told(ordered)
    assert isinstance(renewed, events.Renewed)
    assert (renewed.identity, renewed.expires_at) == (before.identity, NOW + 500)
    assert driven.machine.passing


def test_an_extension_arms_the_warning_anew() -> None:
    """Who was warned is warned again before the new end, at 15 % of what was given."""
    driven = opened()
    driven.wake(NOW + 270)
    assert sent(driven.ordered)[-1]["type"] == "auth_expiring"
    driven.extend(NOW + 370)
    assert driven.wake_at == NOW + 355
    assert sent(driven.wake())[0] == {"type": "auth_expiring", "wsauth": 1, "expires_in": 15}
    assert driven.wake_at == NOW + 370


@pytest.mark.parametrize("ends_at", [NOW + 299, NOW + 300, NOW, 0.0, -inf])
def test_an_extension_is_never_backwards(ends_at: float) -> None:
    """An end that is earlier or the same changes nothing and says nothing."""
    driven = opened()
    before = lease_of(driven)
    assert driven.extend(ends_at) == []
    assert lease_of(driven) is before


@pytest.mark.parametrize("ends_at", [NOW + 1000, inf])
def test_an_extension_is_never_past_max_connection_age(ends_at: float) -> None:
    """The lease ends with the connection's age at the latest, and there a further one says nothing."""
    driven = opened(policy(max_connection_age=400))
    assert sent(driven.extend(ends_at))[0]["expires_in"] == 400
    assert lease_of(driven).ends_at == NOW + 400
    assert driven.extend(ends_at) == []
    assert plain(driven.wake(NOW + 400)) == ["Send", "Close"]


def test_an_extension_without_any_age_may_have_no_end() -> None:
    """Where `max_connection_age` is off a session without an end gives a lease without one."""
    driven = opened(policy(max_connection_age=inf))
    assert sent(driven.extend(inf))[0].keys() & {"expires_in", "renew_in"} == set()
    [renewed] = told(driven.ordered)[-1:]
    assert isinstance(renewed, events.Renewed)
    assert renewed.expires_at is None
    assert plain(driven.wake(NOW + 300)) == []


def test_an_extension_in_grace_revives_and_passes_what_waited() -> None:
    """The application goes on, then the messages of the meantime come in order, then new ones."""
    driven = stale()
    driven.now = NOW + 305
    driven.say("one")
    driven.say(b"two")
    ordered = driven.extend(NOW + 600)
    assert plain(ordered) == ["Pause", "Send", "Deliver", "Deliver"]
    assert of(ordered, commands.Pause) == [commands.Pause("upstream", False)]
    assert delivered(ordered) == ["one", b"two"]
    assert delivered(driven.say("three")) == ["three"]


def test_an_extension_revives_a_client_that_does_not_speak() -> None:
    """It is read again, hears nothing of it, and what had been read already passes first."""
    driven = silent()
    driven.wake(NOW + 300)
    driven.say("one")
    ordered = driven.extend(NOW + 600)
    assert plain(ordered) == ["Pause", "Pause", "Deliver"]
    assert of(ordered, commands.Pause) == [commands.Pause("upstream", False), commands.Pause("client", False)]
    assert delivered(ordered) == ["one"]
    assert driven.wake_at == NOW + 600


@pytest.mark.parametrize("ends_at", [NOW + 300, NOW + 302])
def test_an_extension_into_the_past_does_not_revive(ends_at: float) -> None:
    """A stale connection stays stale when the session has ended by now as well."""
    driven = stale()
    driven.now = NOW + 302
    assert driven.extend(ends_at) == []
    assert driven.state is State.STALE


def test_an_extension_after_grace_is_too_late() -> None:
    """What was due before it happens first, also when the host is late."""
    driven = stale()
    driven.now = NOW + 310
    ordered = driven.extend(NOW + 600)
    assert driven.state is State.CLOSING
    assert "auth_success" not in [message["type"] for message in sent(ordered)]


def test_a_revived_connection_was_not_idle() -> None:
    """The time in which nothing could pass does not count as silence, the time before an extension does."""
    driven = opened(policy(idle_timeout=12), person(ends=NOW + 6))
    driven.extend(NOW + 10)
    driven.wake(NOW + 10)
    driven.now = NOW + 13
    driven.extend(NOW + 300)
    assert driven.state is State.OPEN
    assert driven.wake_at == NOW + 25


def test_an_extension_is_no_renewal() -> None:
    """It gives no attempt back, and a renewal may follow and precede it at once."""
    driven = opened()
    driven.present("wrong")
    driven.answer(Refused("token_invalid"))
    driven.extend(NOW + 400)
    driven.present("wrong again")
    assert sent(driven.answer(Refused("token_invalid")))[0]["attempts_left"] == 1
    driven.present("good")
    assert sent(driven.answer(person(ends=NOW + 450, iat=NOW + 1)))[0]["type"] == "auth_success"
    assert sent(driven.extend(NOW + 500))[0]["expires_in"] == 500


def test_an_extension_while_a_renewal_is_verified_leaves_it_be() -> None:
    """The answer then replaces all three, as it would have without."""
    driven = stale()
    driven.present()
    driven.extend(NOW + 600)
    fresh = person(ends=NOW + 590, iat=NOW + 299)
    assert sent(driven.answer(fresh))[0]["expires_in"] == 290
    assert lease_of(driven).identity is fresh


def test_an_extension_while_connecting_waits_for_the_accept() -> None:
    """The end moves silently, and `auth_success` and `Connected` tell it."""
    driven = connecting()
    ordered = driven.extend(NOW + 600)
    assert ordered == [commands.WakeAt(NOW + 600)]
    ordered = driven.connect()
    assert sent(ordered)[0]["expires_in"] == 600
    [connected] = told(ordered)
    assert isinstance(connected, events.Connected)
    assert connected.expires_at == NOW + 600


@pytest.mark.parametrize("state", [State.HANDSHAKING, State.PENDING, State.CLOSING, State.CLOSED])
def test_where_there_is_no_lease_nothing_is_extended(state: State) -> None:
    """Neither before anybody is known nor from the close on."""
    driven = in_state(state)
    lease = driven.machine.lease
    assert driven.extend(NOW + 600) == []
    assert driven.machine.lease is lease
    assert driven.state is state


def test_an_answer_gives_a_later_end_and_other_rights() -> None:
    """Both are told, and the lease is the same identity's."""
    driven = opened()
    driven.now = NOW + 200
    before = lease_of(driven).identity
    ordered = driven.recheck(before.replace(roles=(), expires_at=NOW + 500))
    assert [each["type"] for each in sent(ordered)] == ["auth_changed", "auth_success"]
    lease = lease_of(driven)
    assert (lease.identity.key, lease.identity.roles, lease.ends_at) == (before.key, (), NOW + 500)


def test_an_answer_may_give_an_earlier_end() -> None:
    """Then the lease ends there, and the client hears of it, and of the end as it comes."""
    driven = opened()
    driven.now = NOW + 100
    ordered = driven.recheck(lease_of(driven).identity.replace(expires_at=NOW + 140))
    assert [(each["type"], each["expires_in"]) for each in sent(ordered)] == [("auth_success", 40)]
    assert lease_of(driven).ends_at == NOW + 140
    assert driven.wake_at == NOW + 134
    assert sent(driven.wake())[0]["type"] == "auth_expiring"
    assert driven.wake_at == NOW + 140
    assert sent(driven.wake())[0]["code"] == "token_expired"


def test_an_answer_that_says_the_same_says_nothing() -> None:
    """No message, and the same end."""
    driven = opened()
    driven.now = NOW + 100
    before = lease_of(driven)
    assert sent(driven.recheck(before.identity.replace(expires_at=before.ends_at))) == []
    assert lease_of(driven).ends_at == before.ends_at


def test_an_answer_about_somebody_else_is_a_mistake() -> None:
    """A connection is one identity's for good."""
    driven = opened()
    with pytest.raises(ProtocolError):
        driven.recheck(person("bob"))
