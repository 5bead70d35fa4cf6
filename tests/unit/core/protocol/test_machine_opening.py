"""From the handshake until the application has the connection."""

import json
from typing import Any

import pytest

from tests.unit.core.protocol.driving import (
    BEARER,
    ISSUER,
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
    secret_of,
    sent,
    told,
)
from wsauth.core import events
from wsauth.core.handshake import Header
from wsauth.core.identity import NOBODY
from wsauth.core.protocol import commands
from wsauth.core.protocol.states import State
from wsauth.errors import Refused

IN_BAND = json.dumps({"type": "auth", "token": "alices-token"})


def test_a_token_in_the_handshake_is_verified_before_anything_is_answered() -> None:
    """The first order is to verify, with number 1 and the token, and its secret is then forgotten."""
    driven = Driven(handshake(None, BEARER))
    ordered = driven.start()
    assert plain(ordered) == ["Verify"]
    [question] = of(ordered, commands.Verify)
    assert (question.number, secret_of(question)) == (1, "alices-token")
    assert driven.machine.handshake.credentials is None
    assert driven.wake_at == NOW + 10


def test_a_good_token_connects_and_then_accepts_what_the_application_chose() -> None:
    """The answer 101 waits for the application, and carries its choice."""
    driven = Driven(handshake(None, BEARER, offers=["wsauth.v1", "chat", "chess"]))
    driven.start()
    assert plain(driven.answer(person())) == ["Connect"]
    ordered = driven.connect("chess")
    assert plain(ordered) == ["Accept", "Send"]
    assert of(ordered, commands.Accept)[0].subprotocol == "chess"
    assert driven.state is State.OPEN
    [connected] = told(ordered)
    assert connected == events.Connected(
        at=NOW, about=driven.machine.about, identity=person(), source="header", expires_at=NOW + 300
    )


def test_a_verdict_that_is_known_is_not_asked_for() -> None:
    """A token verified lately opens or refuses in the first step, with the source it came by."""
    driven = Driven(handshake(None, BEARER))
    assert plain(driven.start(person())) == ["Connect"]
    [connected] = told(driven.connect())
    assert isinstance(connected, events.Connected)
    assert (connected.source, connected.expires_at) == ("header", NOW + 300)
    refused = Driven(handshake(None, BEARER))
    assert plain(refused.start(Refused("token_revoked"))) == ["Refuse"]


def test_a_known_verdict_opens_nothing_for_a_refused_handshake() -> None:
    """Mallory's page is refused, whatever is known of the token that it carries."""
    driven = Driven(handshake(None, BEARER, (b"origin", b"https://mallory.example")))
    assert plain(driven.start(person())) == ["Refuse"]
    assert plain(Driven(handshake()).start(person())) == ["Accept", "Send"]


@pytest.mark.parametrize(
    ("offers", "choice", "answer"),
    [
        ([], None, ""),
        (["chat"], None, ""),
        (["chat"], "chat", "chat"),
        (["chat"], "chess", ""),
        (["wsauth.v1"], None, "wsauth.v1"),
        (["wsauth.v1", "chat"], None, "wsauth.v1"),
        (["wsauth.v1", "chat"], "chat", "chat"),
        (["chat"], "wsauth.v1", ""),
    ],
)
def test_the_subprotocol_that_is_answered_was_offered(offers: list[str], choice: str | None, answer: str) -> None:
    """The application's choice counts where it was offered, else `wsauth.v1` where that was."""
    driven = Driven(handshake(None, BEARER, offers=offers))
    driven.start()
    driven.answer(person())
    assert of(driven.connect(choice), commands.Accept)[0].subprotocol == answer


def test_who_does_not_speak_wsauth_hears_nothing_of_it() -> None:
    """Without `wsauth.v1` a connection with a header gets its 101 and no message."""
    driven = Driven(handshake(None, BEARER))
    driven.start()
    driven.answer(person())
    assert plain(driven.connect()) == ["Accept"]
    assert not driven.machine.speaks


@pytest.mark.parametrize("refusals", ["auto", "http", "close"])
@pytest.mark.parametrize("page", [False, True])
@pytest.mark.parametrize(
    ("code", "close"), [("token_expired", 3000), ("permission_denied", 3003), ("rate_limited", 1013)]
)
def test_a_refusal_is_spoken_where_a_page_could_not_read_it(refusals: str, page: bool, code: str, close: int) -> None:
    """HTTP is for programs; a page gets an accepted handshake that closes, where the code is one for it."""
    headers: list[Header] = [BEARER, ORIGIN] if page else [BEARER]
    driven = Driven(handshake(policy(refusals=refusals), *headers))
    driven.start()
    ordered = driven.answer(Refused(code, "as the verifier said"))
    spoken = refusals != "http" and (page or refusals == "close") and code != "rate_limited"
    assert plain(ordered) == (["Accept", "Close"] if spoken else ["Refuse"])
    if spoken:
        assert of(ordered, commands.Close)[0] == commands.Close(
            close, f"{code};id=id0000000001", at_once=code == "permission_denied"
        )
        assert driven.wake_at == NOW + 2
    else:
        assert of(ordered, commands.Refuse)[0].refusal.code == code
        assert driven.state is State.CLOSED


def test_no_refusal_is_spoken_when_too_many_are() -> None:
    """A host that has a hundred such sockets open says so, and HTTP it is."""
    driven = Driven(handshake(None, BEARER, ORIGIN), readable=False)
    driven.start()
    assert plain(driven.answer(Refused("token_expired"))) == ["Refuse"]


def test_a_page_with_a_foreign_origin_gets_http_and_no_look_at_its_token() -> None:
    """Mallory's page is refused before Alice's token is verified, and cannot read why."""
    driven = Driven(handshake(None, BEARER, (b"origin", b"https://mallory.example")))
    ordered = driven.start()
    assert plain(ordered) == ["Refuse"]
    assert of(ordered, commands.Refuse)[0].refusal.code == "origin_denied"


def test_a_spoken_refusal_begins_with_auth_error_for_who_speaks() -> None:
    """The page that offered `wsauth.v1` gets it as subprotocol, then the error, then the close."""
    driven = Driven(handshake(None, ORIGIN, offers=["wsauth.v1", "wsauth.bearer.a.b.c"]))
    driven.start()
    ordered = driven.answer(Refused("token_expired"))
    assert plain(ordered) == ["Accept", "Send", "Close"]
    assert of(ordered, commands.Accept)[0].subprotocol == "wsauth.v1"
    assert sent(ordered)[0]["closing"] is True


def test_a_page_that_offers_only_its_own_subprotocol_gets_it_with_the_refusal() -> None:
    """Without one of its offers in the answer a browser would hide the refusal."""
    driven = Driven(handshake(policy(sources=frozenset({"header"})), ORIGIN, offers=["chat"]))
    ordered = driven.start()
    assert of(ordered, commands.Accept)[0].subprotocol == "chat"
    assert of(ordered, commands.Close)[0].reason == "credentials_missing;id=id0000000001"


def test_every_refused_handshake_is_told() -> None:
    """The event has the id that the client got, the source, and what only the log may know."""
    driven = Driven(handshake(None, BEARER))
    driven.start()
    [refused] = told(driven.answer(Refused("token_invalid", "the key is unknown", mend="jwks_url")))
    assert isinstance(refused, events.HandshakeRefused)
    assert (refused.code, refused.id, refused.reason) == ("token_invalid", "id0000000001", "the key is unknown")
    assert (refused.mend, refused.source, refused.identity) == ("jwks_url", "header", None)


def test_a_verification_without_an_end_is_given_up() -> None:
    """After `auth_timeout` the handshake is refused as unavailable, and the late answer changes nothing."""
    driven = Driven(handshake(policy(auth_timeout=5), BEARER))
    driven.start()
    ordered = driven.wake(NOW + 5)
    assert of(ordered, commands.Refuse)[0].refusal.code == "unavailable"
    assert driven.answer(person(), 1) == []
    assert driven.state is State.CLOSED


def test_a_permission_that_the_route_requires_is_asked_for() -> None:
    """Bob's token is good and lacks the permission, so he is refused with 403."""
    driven = Driven(handshake(policy(require=("chat:lobby:send",)), BEARER))
    driven.start()
    refusal = of(driven.answer(person("bob", roles=("guest",))), commands.Refuse)[0].refusal
    assert (refusal.code, refusal.http_status, refusal.close_code) == ("permission_denied", 403, 3003)


def test_nobody_may_connect_to_an_anonymous_route() -> None:
    """Without credentials an anonymous route opens at once for nobody, whose role is `anonymous`."""
    driven = Driven(handshake(policy(anonymous=True)))
    assert plain(driven.start()) == ["Connect"]
    driven.connect()
    assert driven.machine.lease is not None
    assert driven.machine.lease.identity is NOBODY
    assert NOBODY.roles == ("anonymous",)


def test_bad_credentials_never_become_nobody() -> None:
    """An anonymous route refuses a bad token like every other."""
    driven = Driven(handshake(policy(anonymous=True), BEARER))
    driven.start()
    assert plain(driven.answer(Refused("token_invalid"))) == ["Refuse"]


def test_a_handshake_that_ends_before_the_application_accepts_is_refused() -> None:
    """A lease that runs out meanwhile, and a revocation, are refusals by HTTP."""
    slow = Driven(handshake(None, BEARER))
    slow.start()
    slow.answer(person(ends=NOW + 2))
    assert of(slow.wake(NOW + 2), commands.Refuse)[0].refusal.code == "token_expired"
    revoked = Driven(handshake(None, BEARER))
    revoked.start()
    assert of(revoked.end("token_revoked"), commands.Refuse)[0].refusal.code == "token_revoked"
    assert revoked.answer(person()) == []


def test_a_client_that_goes_during_the_handshake_leaves_no_event() -> None:
    """Nothing had opened, so nothing has closed, and the verifier's answer is not waited for."""
    driven = Driven(handshake(None, BEARER))
    driven.start()
    assert driven.gone() == []
    assert driven.state is State.CLOSED
    assert driven.answer(person()) == []


# Pending.


def test_without_credentials_the_client_is_asked_for_them() -> None:
    """The handshake is accepted, `auth_required` is the first message, and the application does not run."""
    driven = Driven(handshake(policy(subprotocols=("chat",)), offers=["chess", "chat"]))
    ordered = driven.start()
    assert plain(ordered) == ["Accept", "Send"]
    assert of(ordered, commands.Accept)[0].subprotocol == "chat"
    assert sent(ordered) == [{"type": "auth_required", "wsauth": 1, "accept": ["token", "ticket"], "timeout": 10}]
    assert driven.wake_at == NOW + 10


def test_a_good_message_opens_the_connection() -> None:
    """After `auth` the application connects, and `auth_success` comes when it has accepted."""
    driven = pending()
    ordered = driven.say(IN_BAND)
    assert plain(ordered) == ["Verify"]
    assert secret_of(of(ordered, commands.Verify)[0]) == "alices-token"
    assert plain(driven.answer(person())) == ["Connect"]
    assert driven.machine.speaks
    ordered = driven.connect()
    assert plain(ordered) == ["Send"]
    assert sent(ordered)[0]["subject"] == "alice"


@pytest.mark.parametrize("form", ["Authorization: Bearer alices-token", "authorization:  bearer alices-token"])
def test_the_plain_text_form_counts_as_the_first_message(form: str) -> None:
    """`Authorization: Bearer …` as a text is a credential."""
    driven = pending()
    ordered = driven.say(form)
    assert secret_of(of(ordered, commands.Verify)[0]) == "alices-token"


def test_the_plain_text_form_does_not_count_later() -> None:
    """As the second message it is a stray message and costs an attempt."""
    driven = pending()
    driven.say("hello")
    ordered = driven.say("Authorization: Bearer alices-token")
    assert [(error["code"], error["attempts_left"]) for error in sent(ordered)] == [("credentials_missing", 1)]


def test_wrong_credentials_cost_attempts_until_none_is_left() -> None:
    """Three bad tokens end the connection with 3000, and each is told with its own code."""
    driven = pending()
    for left in (2, 1):
        driven.say(IN_BAND)
        [error] = sent(driven.answer(Refused("token_expired")))
        assert (error["code"], error["closing"], error["attempts_left"]) == ("token_expired", False, left)
        assert error["action"] == "refresh"
    driven.say(IN_BAND)
    ordered = driven.answer(Refused("token_expired"))
    assert plain(ordered) == ["Send", "Close"]
    [error] = sent(ordered)
    assert (error["code"], error["closing"], error["action"]) == ("too_many_attempts", True, "login")
    assert of(ordered, commands.Close)[0].code == 3000


def test_stray_messages_cost_attempts_and_are_dropped() -> None:
    """What comes before `auth` is never seen by the application."""
    driven = pending()
    assert sent(driven.say("hello"))[0]["attempts_left"] == 2
    driven.say(IN_BAND)
    driven.answer(person())
    assert delivered(driven.connect()) == []


def test_a_binary_message_before_authentication_closes_with_1003() -> None:
    """There is no binary credential."""
    ordered = pending().say(IN_BAND.encode())
    assert of(ordered, commands.Close)[0] == commands.Close(1003, "message_unsupported;id=id0000000001")


@pytest.mark.parametrize(("length", "fits"), [(100, True), (101, False)])
def test_a_large_message_before_authentication_closes_with_1009(length: int, fits: bool) -> None:
    """The limit before authentication is its own, counts bytes, and is itself allowed."""
    driven = pending(policy(max_unauthenticated_message=100))
    ordered = driven.say("é" * 49 + "x" * (length - 98))
    assert (State.PENDING if fits else State.CLOSING) is driven.state
    assert [close.code for close in of(ordered, commands.Close)] == ([] if fits else [1009])


def takes(driven: Driven) -> bool:
    """Tell whether the next message would be looked at."""
    return driven.machine.taking


def test_a_host_knows_when_the_next_message_is_looked_at() -> None:
    """While a credential is verified, or what is behind is reached, it would be held: so it can wait in the host."""
    driven = pending()
    assert takes(driven)
    driven.present()
    assert not takes(driven)
    driven.answer(Refused("token_invalid"))
    assert takes(driven)
    driven.present()
    driven.answer(person())
    assert not takes(driven)
    driven.connect()
    assert takes(driven)
    driven.present()
    assert takes(driven)  # a renewal keeps nobody waiting
    assert of(driven.wake(NOW + 300), commands.Pause)
    assert takes(driven)  # a renewal may come, and what is no renewal is held


@pytest.mark.parametrize("state", [State.HANDSHAKING, State.CLOSING, State.CLOSED])
def test_no_message_is_looked_at_before_the_101_and_from_the_close_on(state: State) -> None:
    """Whatever comes is not taken."""
    assert not takes(in_state(state))


def test_the_deadline_is_absolute() -> None:
    """Attempts and messages do not move it: ten seconds after the handshake it is over, with 3008."""
    driven = pending()
    driven.now = NOW + 9.5
    driven.say(IN_BAND)
    ordered = driven.wake(NOW + 10)
    assert of(ordered, commands.Close)[0] == commands.Close(3008, "auth_timeout;id=id0000000001")
    assert sent(ordered)[0]["action"] == "retry"
    assert driven.answer(person()) == []


@pytest.mark.parametrize(
    ("code", "close"), [("unavailable", 1013), ("rate_limited", 1013), ("permission_denied", 3003)]
)
def test_what_is_no_wrong_credential_ends_a_pending_connection(code: str, close: int) -> None:
    """A no that another attempt would not mend closes at once, with its own code."""
    driven = pending()
    driven.say(IN_BAND)
    assert of(driven.answer(Refused(code)), commands.Close)[0].code == close


def test_what_follows_a_credential_waits_for_its_verdict() -> None:
    """Pipelined messages are delivered after `auth_success`, in order, text and binary."""
    driven = pending()
    driven.say(IN_BAND)
    assert driven.say("one") == []
    assert driven.say(b"two") == []
    driven.answer(person())
    assert driven.say("three") == []
    ordered = driven.connect()
    assert plain(ordered) == ["Send", "Deliver", "Deliver", "Deliver"]
    assert delivered(ordered) == ["one", b"two", "three"]


def test_what_follows_a_bad_credential_is_looked_at_like_any_other_message() -> None:
    """A second `auth` in the same packet is verified next, and a stray message costs its attempt."""
    driven = pending()
    driven.say(IN_BAND)
    driven.say("stray")
    driven.present("second")
    ordered = driven.answer(Refused("token_invalid"))
    assert [error["code"] for error in sent(ordered)] == ["token_invalid", "credentials_missing"]
    assert secret_of(of(ordered, commands.Verify)[0]) == "second"


def test_at_most_sixteen_kibibytes_wait_for_a_verdict() -> None:
    """Over 16 KiB the client is not read any more, and read again when the verdict has come."""
    driven = pending()
    driven.say(IN_BAND)
    assert plain(driven.say("x" * 16_000)) == []
    assert of(driven.say("y" * 1_000), commands.Pause) == [commands.Pause("client", True)]
    driven.answer(person())
    ordered = driven.connect()
    assert [len(message) for message in delivered(ordered)] == [16_000, 1_000]
    assert of(ordered, commands.Pause) == [commands.Pause("client", False)]


def test_credentials_that_have_already_ended_cost_an_attempt() -> None:
    """Who is found to be Alice until a second ago may try again, as with every wrong credential."""
    driven = pending()
    driven.say(IN_BAND)
    ordered = driven.answer(person(ends=NOW - 1))
    assert [(error["code"], error["closing"]) for error in sent(ordered)] == [("token_expired", False)]
    assert driven.state is State.PENDING


@pytest.mark.parametrize(
    ("sources", "private", "accept"),
    [
        ({"message"}, True, ["token"]),
        ({"message", "ticket"}, True, ["token", "ticket"]),
        ({"message", "basic"}, True, ["token", "password"]),
        ({"message", "basic"}, False, ["token"]),
    ],
)
def test_auth_required_lists_what_the_route_takes(sources: set[str], private: bool, accept: list[str]) -> None:
    """Tickets and passwords are listed only where they are sources, passwords only where nobody can listen."""
    driven = Driven(handshake(policy(sources=frozenset(sources)), private=private), private=private)
    assert sent(driven.start())[0]["accept"] == accept


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"ticket": "t"}, "ticket"),
        ({"username": "alice", "password": "p"}, "password"),
        ({"token": "t", "room": "lobby"}, "token"),
    ],
)
def test_a_message_may_present_what_the_route_takes(members: dict[str, Any], kind: str) -> None:
    """A ticket, a name with a password and a token with unknown members beside it are all verified."""
    driven = pending(policy(sources=frozenset({"message", "ticket", "basic"})))
    [question] = of(driven.present(**members), commands.Verify)
    assert (question.credentials.kind, question.credentials.source) == (kind, "message")


def test_the_lease_of_a_connection_ends_with_its_credential() -> None:
    """Alice's lease has her identity, her rights and the end of her token."""
    lease = opened().machine.lease
    assert lease is not None
    assert (lease.identity.key, lease.ends_at, lease.granted_at) == ((ISSUER, "alice"), NOW + 300, NOW)
    assert lease.permissions.names == ("chat:*:read", "chat:lobby:send")
