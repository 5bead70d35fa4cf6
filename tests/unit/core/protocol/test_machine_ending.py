"""The end of a lease and of a connection, refused messages, and a host that is late."""

from collections.abc import Callable
from math import inf

import pytest

from tests.unit.core.protocol.driving import (
    BEARER,
    NOW,
    ORIGIN,
    Driven,
    delivered,
    handshake,
    in_state,
    of,
    opened,
    pending,
    person,
    plain,
    policy,
    sent,
    stale,
    told,
)
from wsauth.core import events
from wsauth.core.protocol import commands
from wsauth.core.protocol.states import State


def silent(**changes: float) -> Driven:
    """Return a connection that does not speak wsauth."""
    driven = Driven(handshake(policy(**changes), BEARER))
    driven.start()
    driven.answer(person())
    driven.connect()
    return driven


@pytest.mark.parametrize(
    ("length", "before"), [(1000, 30), (200, 30), (100, 15), (60, 9), (20, 5), (6, 5), (5, None), (3, None)]
)
def test_the_client_is_warned_in_time(length: float, before: float | None) -> None:
    """The warning comes at 15 % of the lease, at most 30 s and at least 5 s before the end, if that is in it."""
    driven = opened(None, person(ends=NOW + length))
    if before is None:
        assert driven.wake_at == NOW + length
        assert "auth_expiring" not in [message["type"] for message in sent(driven.wake())]
        return
    assert driven.wake_at == NOW + length - before
    assert sent(driven.wake()) == [{"type": "auth_expiring", "wsauth": 1, "expires_in": before}]
    assert driven.wake_at == NOW + length


def test_the_warning_comes_once_for_each_lease() -> None:
    """A renewal brings a warning of its own."""
    driven = opened(None, person(ends=NOW + 100))
    driven.wake()
    driven.present()
    driven.answer(person(ends=NOW + 200, iat=NOW + 85))
    assert driven.wake_at == NOW + 200 - 17.25
    assert sent(driven.wake())[0]["expires_in"] == 17


def test_who_is_renewing_is_not_warned() -> None:
    """While a renewal is verified there is nothing to warn of; when it fails there is."""
    driven = opened(None, person(ends=NOW + 100))
    driven.now = NOW + 84
    driven.present()
    assert sent(driven.wake(NOW + 86)) == []
    assert [message["type"] for message in sent(driven.wake(NOW + 94))] == ["auth_error", "auth_expiring"]


def test_who_does_not_speak_is_not_warned() -> None:
    """Without `wsauth.v1` the next thing after the accept is the end."""
    assert silent().wake_at == NOW + 300


def test_the_end_holds_both_sides() -> None:
    """At the very second the application is paused, the client is told, and nothing passes."""
    driven = opened()
    driven.wake()
    assert driven.wake(NOW + 299.9)[-1] == commands.WakeAt(NOW + 300)
    ordered = driven.wake(NOW + 300)
    assert plain(ordered) == ["Pause", "Send"]
    assert of(ordered, commands.Pause) == [commands.Pause("upstream", True)]
    [error] = sent(ordered)
    assert (error["code"], error["action"], error["closing"]) == ("token_expired", "refresh", False)
    assert "attempts_left" not in error
    assert isinstance(told(ordered)[0], events.Expired)
    assert not driven.machine.passing
    assert delivered(driven.say("hello")) == []


def test_a_silent_client_is_not_read_after_the_end() -> None:
    """Who cannot renew is held on both sides, and hears nothing until the close."""
    driven = silent()
    ordered = driven.wake(NOW + 300)
    assert of(ordered, commands.Pause) == [commands.Pause("upstream", True), commands.Pause("client", True)]
    ordered = driven.wake(NOW + 310)
    assert plain(ordered) == ["Close"]


def test_after_grace_the_connection_closes() -> None:
    """Ten seconds after the end come `auth_error` and 3000, under one id."""
    driven = stale()
    first = sent(driven.ordered)[-1]
    assert driven.wake_at == NOW + 310
    ordered = driven.wake(NOW + 310)
    [error] = sent(ordered)
    assert (error["closing"], error["id"]) == (True, first["id"])
    assert of(ordered, commands.Close)[0] == commands.Close(3000, f"token_expired;id={error['id']}")


def test_at_most_sixteen_kibibytes_wait_for_a_renewal() -> None:
    """Over that the client is not read, until the renewal; then all of it passes."""
    driven = stale()
    driven.say("x" * 16_384)
    assert of(driven.say("y"), commands.Pause) == [commands.Pause("client", True)]
    driven.present()
    ordered = driven.answer(person(ends=NOW + 900, iat=NOW + 300))
    assert [pause.side for pause in of(ordered, commands.Pause)] == ["upstream", "client"]
    assert not any(pause.paused for pause in of(ordered, commands.Pause))
    assert delivered(ordered) == ["x" * 16_384, "y"]
    assert plain(ordered)[-3:] == ["Deliver", "Deliver", "Pause"]  # a host that reads at once reads what comes behind


def test_what_waits_for_a_renewal_is_dropped_by_the_close() -> None:
    """Nothing of it is ever delivered."""
    driven = stale()
    driven.say("hello")
    driven.wake(NOW + 310)
    assert delivered(driven.ordered) == []
    assert driven.present() == []


@pytest.mark.parametrize("ends", [NOW + 25, NOW + 100, None])
def test_max_connection_age_has_no_grace(ends: float | None) -> None:
    """Whatever the token says, after 25 s the connection closes at once."""
    driven = opened(policy(max_connection_age=25), person(ends=ends))
    assert driven.machine.lease is not None
    assert driven.machine.lease.ends_at == NOW + 25
    assert plain(driven.wake(NOW + 25)) == ["Send", "Close"]


def test_grace_does_not_go_past_max_connection_age() -> None:
    """A lease that ends a little before leaves only that little."""
    driven = opened(policy(max_connection_age=25), person(ends=NOW + 20))
    driven.wake(NOW + 20)
    assert driven.state is State.STALE
    assert driven.wake_at == NOW + 25


def test_silence_ends_a_connection() -> None:
    """Messages in either direction begin the idle time anew; without them it closes with 3008."""
    driven = silent(idle_timeout=15)
    driven.now = NOW + 10
    driven.say("hello")
    driven.machine.stirred(NOW + 12)
    assert plain(driven.wake(NOW + 25)) == []
    assert driven.wake_at == NOW + 27
    assert of(driven.wake(), commands.Close)[0] == commands.Close(3008, "idle_timeout;id=id0000000001")


def test_a_revived_connection_was_not_idle() -> None:
    """The time in which nothing could pass does not count as silence."""
    driven = opened(policy(idle_timeout=12), person(ends=NOW + 6))
    driven.wake(NOW + 1)
    driven.wake(NOW + 6)
    driven.now = NOW + 13
    driven.present()
    driven.answer(person(ends=NOW + 300, iat=NOW + 13))
    driven.wake(NOW + 13)
    assert driven.state is State.OPEN


# Closing.


@pytest.mark.parametrize(
    ("code", "retry_after", "close"),
    [
        ("session_revoked", None, commands.Close(3000, "session_revoked;id=id0000000001", at_once=True)),
        ("token_revoked", None, commands.Close(3000, "token_revoked;id=id0000000001", at_once=True)),
        ("permission_denied", None, commands.Close(3003, "permission_denied;id=id0000000001", at_once=True)),
        ("rights_changed", 2, commands.Close(1012, "rights_changed;id=id0000000001;retry_after=2", at_once=True)),
        ("disconnected", None, commands.Close(3003, "disconnected;id=id0000000001")),
        ("disconnected", 60, commands.Close(1013, "disconnected;id=id0000000001;retry_after=60")),
        ("draining", 11.2, commands.Close(1012, "draining;retry_after=12")),
    ],
)
def test_somebody_decides_that_a_connection_ends(code: str, retry_after: float | None, close: commands.Close) -> None:
    """The client hears why, the close frame says it again, and nothing has grace."""
    driven = opened()
    ordered = driven.end(code, retry_after=retry_after)
    assert plain(ordered) == ["Send", "Close"]
    assert of(ordered, commands.Close)[0] == close
    assert sent(ordered)[0]["closing"] is True
    [closed] = [event for event in told(ordered) if isinstance(event, events.Closed)]
    assert (closed.code, closed.reason, closed.by) == (close.code, close.reason, "wsauth")


@pytest.mark.parametrize("driven", [opened, pending, stale])
def test_a_server_that_stops_says_when_to_come_back(driven: Callable[[], Driven]) -> None:
    """Open, pending and stale connections close with 1012 and without an id, and what waits is dropped."""
    connection = driven()
    connection.present()
    connection.say("hello")
    ordered = connection.end("draining", retry_after=30)
    assert plain(ordered) == ["Send", "Close"]
    assert of(ordered, commands.Close)[0] == commands.Close(1012, "draining;retry_after=30")
    [error] = sent(ordered)
    assert (error["code"], error["retry_after"], error["action"], error["closing"]) == ("draining", 30, "retry", True)
    assert "id" not in error
    assert connection.answer(person(ends=NOW + 900, iat=NOW + 1)) == []


def test_a_handshake_is_drained_by_http() -> None:
    """Who was not answered yet gets 503 with `Retry-After`, also a page."""
    driven = Driven(handshake(None, BEARER, ORIGIN))
    driven.start()
    [refuse] = of(driven.end("draining", retry_after=30), commands.Refuse)
    assert refuse.refusal.http_status == 503
    assert (b"retry-after", b"30") in refuse.refusal.headers()


def test_a_close_code_may_be_given() -> None:
    """The application's own no keeps its meaning."""
    assert of(opened().end("unavailable", close=1011), commands.Close)[0].code == 1011


def test_the_applications_close_is_its_own() -> None:
    """Its code and reason go out as they are, without a word of ours."""
    driven = opened()
    ordered = driven.leave(4000, "bye")
    assert plain(ordered) == ["Close"]
    assert of(ordered, commands.Close)[0] == commands.Close(4000, "bye")
    [closed] = told(ordered)
    assert isinstance(closed, events.Closed)
    assert closed.by == "application"


def test_the_transport_is_cut_after_five_seconds() -> None:
    """Whether the peer helps or not; once, and then nothing is due any more."""
    driven = opened()
    driven.leave()
    assert driven.wake_at == NOW + 5
    assert plain(driven.wake(NOW + 4.9)) == []
    assert plain(driven.wake(NOW + 5)) == ["Abort"]
    assert driven.wake(NOW + 6) == []
    assert driven.gone() == []
    assert driven.state is State.CLOSED


def test_a_closed_connection_wants_nothing_any_more() -> None:
    """It does not ask to be woken, however long ago it closed."""
    driven = opened()
    driven.leave()
    driven.gone()
    assert driven.wake(NOW + 9) == []
    assert driven.wake(NOW + 10) == []


def test_after_the_close_nothing_has_an_effect() -> None:
    """Messages, answers, refusals, revocations and closes change nothing."""
    driven = opened()
    driven.present()
    driven.end("disconnected")
    assert driven.say("hello") == []
    assert driven.answer(person(iat=NOW + 1)) == []
    assert driven.refuse() == []
    assert driven.end("session_revoked") == []
    assert driven.leave() == []
    assert driven.connect() == []


def test_a_client_that_goes_is_told_once() -> None:
    """`Closed` carries the client's code; after a close of ours it has been told already."""
    [closed] = told(opened().gone())
    assert isinstance(closed, events.Closed)
    assert (closed.code, closed.reason, closed.by) == (1001, "away", "client")
    driven = opened()
    driven.leave()
    assert driven.gone() == []


def test_a_message_that_is_too_large_closes_with_1009() -> None:
    """The limit counts bytes, and is itself allowed."""
    driven = opened(policy(max_message=10))
    assert delivered(driven.say("é" * 5)) == ["é" * 5]
    ordered = driven.say("é" * 5 + "x")
    assert of(ordered, commands.Close)[0].code == 1009
    assert delivered(ordered) == []


def test_a_message_that_is_too_large_while_waiting_closes_when_its_turn_comes() -> None:
    """What waited before it is delivered, what waited behind it is not."""
    driven = opened(policy(max_message=20_000))
    driven.wake(NOW + 300)
    for message in ("one", "x" * 20_001, "three"):
        driven.say(message)
    driven.present()
    ordered = driven.answer(person(ends=NOW + 900, iat=NOW + 300))
    assert delivered(ordered) == ["one"]
    assert of(ordered, commands.Close)[0].code == 1009
    assert driven.wake_at <= NOW + 305


@pytest.mark.parametrize(
    ("begin", "key"), [(pending, "max_unauthenticated_message"), (opened, "max_message"), (stale, "max_message")]
)
def test_a_message_need_not_be_there_to_be_too_large(begin: Callable[[], Driven], key: str) -> None:
    """A host that knows its length from its first frame says so, and the client is told as ever."""
    driven = begin()
    ordered = driven.oversize()
    assert plain(ordered) == ["Send", "Close"]
    [error] = sent(ordered)
    assert (error["code"], error["closing"]) == ("message_too_large", True)
    [close] = of(ordered, commands.Close)
    assert (close.code, close.at_once) == (1009, False)
    [told_of] = [event for event in told(ordered) if isinstance(event, events.Closed | events.HandshakeRefused)]
    assert told_of.mend == key


@pytest.mark.parametrize("state", [State.CLOSING, State.CLOSED])
def test_nothing_is_too_large_any_more_at_the_end(state: State) -> None:
    """What comes behind the close is nobody's."""
    driven = in_state(state)
    assert driven.oversize() == []
    assert driven.state is state


# Refused messages.


def test_a_refused_message_is_named_and_the_connection_stays() -> None:
    """`auth_refused` says which message, counted from 1, and why."""
    driven = opened()
    driven.say("one")
    driven.say("two")
    ordered = driven.refuse("message_invalid", "room: is required")
    assert sent(ordered) == [
        {
            "type": "auth_refused",
            "wsauth": 1,
            "code": "message_invalid",
            "message": 2,
            "detail": "room: is required",
            "id": "id0000000001",
        }
    ]
    [refused] = told(ordered)
    assert isinstance(refused, events.MessageRefused)
    assert refused.id == "id0000000001"
    assert driven.state is State.OPEN


def test_messages_of_ours_are_not_counted() -> None:
    """The first message to the application is number 1, whatever it took to authenticate and to renew."""
    driven = pending()
    driven.say("stray")
    driven.present()
    driven.answer(person())
    driven.connect()
    driven.present("next")
    driven.say("one")
    assert sent(driven.refuse())[0]["message"] == 1


def test_a_silent_client_hears_nothing_of_a_refused_message() -> None:
    """Only the log does."""
    driven = silent()
    driven.say("one")
    ordered = driven.refuse()
    assert plain(ordered) == []
    assert isinstance(told(ordered)[0], events.MessageRefused)


def test_more_than_ten_invalid_messages_in_a_minute_close() -> None:
    """Ten are forgiven, the eleventh closes with 1008."""
    driven = opened()
    for _ in range(10):
        assert of(driven.refuse(), commands.Close) == []
    assert of(driven.refuse(), commands.Close)[0].code == 1008


def test_invalid_messages_are_forgotten_after_a_minute() -> None:
    """Eleven of them in sixty seconds and a bit do not close, and other refusals never do."""
    driven = opened()
    for second in range(10):
        driven.now = NOW + second
        driven.refuse()
        driven.refuse("permission_denied")
    driven.now = NOW + 60
    assert of(driven.refuse(), commands.Close) == []


# Every no is explained.


@pytest.mark.parametrize("why", ["renewal", "revocation", "idle", "large", "attempts", "expiry"])
def test_the_id_of_a_close_is_explained(why: str) -> None:
    """The id that an open connection is closed with stands in an event beside its reason, as the log needs it."""
    driven = opened(policy(idle_timeout=40, max_message=100, auth_attempts=1, require=("chat:lobby:send",)))
    if why == "renewal":
        driven.present()
        driven.answer(person(iat=NOW + 1, roles=("guest",)))
    elif why == "revocation":
        driven.end("session_revoked")
    elif why == "idle":
        driven.wake(NOW + 40)
    elif why == "large":
        driven.say("x" * 101)
    elif why == "attempts":
        driven.present(ticket="")
        driven.present(token=1)
    else:
        driven = stale()
        driven.wake()
    [close] = of(driven.ordered, commands.Close)
    [closed] = [event for event in told(driven.ordered) if isinstance(event, events.Closed)]
    assert (closed.code, closed.reason, closed.by) == (close.code, close.reason, "wsauth")
    assert closed.explanation


# A host that is late: its loop was busy, and the event comes before the wake-up that is due.


def test_a_late_verdict_does_not_open_a_pending_connection() -> None:
    """Pending is over at its deadline, also when a good answer is read first."""
    driven = pending()
    driven.present()
    driven.now = NOW + 10
    ordered = driven.answer(person(ends=NOW + 300))
    assert of(ordered, commands.Connect) == []
    assert of(ordered, commands.Close)[0].code == 3008


def test_a_late_accept_delivers_nothing() -> None:
    """A lease that ended before the application accepted lets no message pass."""
    driven = pending()
    driven.present()
    driven.answer(person(ends=NOW + 5))
    driven.say("hello")
    driven.now = NOW + 5
    ordered = driven.connect()
    assert delivered(ordered) == []
    assert of(ordered, commands.Close)[0].reason.startswith("token_expired")


def test_a_late_message_is_not_delivered() -> None:
    """What is read at the lease's end waits, as if the machine had been woken."""
    driven = opened()
    driven.now = NOW + 300
    assert delivered(driven.say("hello")) == []
    assert driven.state is State.STALE


def test_a_late_renewal_does_not_revive_what_is_over() -> None:
    """After grace the connection closes, also when a good answer is read first."""
    driven = stale()
    driven.present()
    driven.now = NOW + 311
    ordered = driven.answer(person(ends=NOW + 900, iat=NOW + 300))
    assert driven.state is State.CLOSING
    assert "auth_success" not in [message["type"] for message in sent(ordered)]


def test_a_late_verdict_on_the_same_token_is_no_success() -> None:
    """A lease that has ended is not confirmed."""
    driven = opened()
    driven.now = NOW + 299
    driven.present("alices-token")
    driven.now = NOW + 300
    ordered = driven.answer(person())
    assert "auth_success" not in [message["type"] for message in sent(ordered)]
    assert driven.state is State.STALE


def test_waking_too_early_only_says_when() -> None:
    """An early wake-up changes nothing, and the machine asks for the right time again."""
    driven = opened()
    assert driven.wake(NOW + 1) == [commands.WakeAt(NOW + 270)]


def test_who_has_no_end_is_never_woken() -> None:
    """Without any limit nothing is ever due."""
    driven = opened(policy(max_connection_age=inf), person(ends=None))
    assert sent(driven.ordered)[0].keys() & {"expires_in", "renew_in"} == set()
    driven.wake()
    assert driven.wake_at == inf
