"""Renewals: all of the lease or nothing of it."""

from typing import Any

import pytest

from tests.unit.core.protocol.driving import (
    ISSUER,
    NOW,
    Driven,
    delivered,
    handshake,
    lease_of,
    of,
    opened,
    pending,
    person,
    plain,
    policy,
    secret_of,
    sent,
    stale,
    told,
)
from wsauth.core import events
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.lease import Lease
from wsauth.core.protocol import commands
from wsauth.core.protocol.states import State
from wsauth.errors import Refused


def renew(driven: Driven, outcome: Identity | Refused, token: str = "fresh-token") -> list[commands.Command]:
    """Let the client present a token, and answer at once."""
    driven.present(token)
    return driven.answer(outcome)


def test_a_newer_credential_replaces_all_of_the_lease() -> None:
    """Identity, rights and end are those of the new token, and the client hears the whole lease."""
    driven = opened()
    driven.now = NOW + 100
    fresh = person(ends=NOW + 500, iat=NOW + 100, roles=("guest",), session_id="s-1")
    ordered = renew(driven, fresh)
    assert lease_of(driven) == Lease(
        fresh, lease_of(driven).permissions, NOW + 100, NOW + 500, lease_of(driven).fingerprint
    )
    assert lease_of(driven).permissions.names == ("chat:lobby:read",)
    assert sent(ordered) == [
        {
            "type": "auth_success",
            "wsauth": 1,
            "issuer": ISSUER,
            "subject": "alice",
            "roles": ["guest"],
            "permissions": ["chat:lobby:read"],
            "session_id": "s-1",
            "expires_in": 400,
            "renew_in": 290,
        }
    ]
    assert driven.wake_at == NOW + 470


def test_a_renewal_is_told_with_what_it_changed() -> None:
    """Subscribers hear of the new end, and of rights that came and went."""
    driven = opened()
    renewed, rights = told(renew(driven, person(ends=NOW + 500, iat=NOW + 1, roles=("guest",))))
    assert isinstance(renewed, events.Renewed)
    assert renewed.expires_at == NOW + 500
    assert isinstance(rights, events.RightsChanged)
    assert (rights.gained, rights.lost) == (("chat:lobby:read",), ("chat:*:read", "chat:lobby:send"))


def test_a_renewal_with_the_same_rights_changes_no_rights() -> None:
    """Only `Renewed` is told when the permissions are the same."""
    assert [type(event) for event in told(renew(opened(), person(iat=NOW + 1)))] == [events.Renewed]


@pytest.mark.parametrize(
    ("iat", "ends", "replaced"),
    [
        (NOW - 1, NOW + 900, False),
        (NOW, NOW + 900, True),
        (NOW + 1, NOW + 900, True),
        (NOW + 1, NOW + 100, True),
        (None, NOW + 299, False),
        (None, NOW + 900, True),
    ],
)
def test_an_older_credential_changes_nothing(iat: float | None, ends: float, replaced: bool) -> None:
    """Older is told by `iat`, else by the end, and is still answered with the lease as it is."""
    driven = opened()
    ordered = renew(driven, person(ends=ends, claims={"iat": iat}))
    [success] = sent(ordered)
    assert success["type"] == "auth_success"
    assert lease_of(driven).ends_at == (ends if replaced else NOW + 300)
    assert success["expires_in"] == lease_of(driven).ends_at - NOW


def test_the_same_token_again_changes_nothing() -> None:
    """The verifier may say what it likes: the same token is the same lease."""
    driven = opened()
    ordered = renew(driven, person(ends=NOW + 900, iat=NOW + 5), "alices-token")
    assert sent(ordered)[0]["expires_in"] == 300
    assert lease_of(driven).identity.claims["iat"] == NOW


def test_the_same_password_again_is_a_new_proof() -> None:
    """A password is the same every time, and presenting it extends the lease by `access_ttl`."""
    rules = policy(sources=frozenset({"message", "basic"}))
    driven = pending(rules)
    driven.present(username="alice", password="secret")
    driven.answer(Identity("alice", issuer="passwords"))
    driven.connect()
    driven.now = NOW + 200
    driven.present(username="alice", password="secret")
    ordered = driven.answer(Identity("alice", issuer="passwords"))
    assert sent(ordered)[0]["expires_in"] == 300
    assert lease_of(driven).ends_at == NOW + 500


def test_an_older_credential_with_fewer_rights_changes_nothing() -> None:
    """A tab that still holds yesterday's token does not cost Alice the connection."""
    driven = opened(policy(require=("chat:lobby:send",)))
    ordered = renew(driven, person(iat=NOW - 10, roles=("guest",)))
    assert [message["type"] for message in sent(ordered)] == ["auth_success"]
    assert driven.state is State.OPEN


def test_somebody_elses_credential_is_refused() -> None:
    """Bob's good token on Alice's connection costs an attempt and leaves the lease as it was."""
    driven = opened()
    before = lease_of(driven)
    ordered = renew(driven, person("bob", iat=NOW + 1))
    [error] = sent(ordered)
    assert (error["code"], error["action"], error["closing"]) == ("identity_mismatch", "stop", False)
    assert error["attempts_left"] == 2
    assert driven.machine.lease is before
    [refused] = told(ordered)
    assert isinstance(refused, events.RenewalRefused)
    assert (refused.id, refused.source) == (error["id"], "message")


def test_the_same_subject_of_another_issuer_is_somebody_else() -> None:
    """An identity is the pair of issuer and subject."""
    other = Identity("alice", issuer="https://mallory.example", expires_at=NOW + 900, claims={"iat": NOW + 1})
    assert sent(renew(opened(), other))[0]["code"] == "identity_mismatch"


@pytest.mark.parametrize(
    ("before", "after", "auth_time", "weaker"),
    [
        ({"acr": "2"}, {"acr": "1"}, None, True),
        ({"acr": "2"}, {"acr": "3"}, None, False),
        ({"acr": "10"}, {"acr": "9"}, None, True),
        ({"acr": "2"}, {}, NOW + 1, True),
        ({"acr": "gold"}, {"acr": "silver"}, None, True),
        ({"acr": "gold"}, {"acr": "silver"}, NOW + 1, False),
        ({"amr": ["pwd", "mfa"]}, {"amr": ["pwd"]}, NOW + 1, True),
        ({"cnf": {"jkt": "k"}}, {}, NOW + 1, True),
        ({}, {"acr": "1"}, None, False),
    ],
)
def test_a_credential_that_proves_less_is_refused(
    before: dict[str, Any], after: dict[str, Any], auth_time: float | None, weaker: bool
) -> None:
    """A binding, a second factor and a level are not lost by renewing."""
    driven = opened(None, person(claims=before, auth_time=NOW))
    [message] = sent(renew(driven, person(iat=NOW + 1, claims=after, auth_time=auth_time)))
    assert message.get("code") == ("step_up_required" if weaker else None)


def test_a_renewal_without_the_routes_permission_closes() -> None:
    """When a required permission is gone the connection ends with 3003."""
    driven = opened(policy(require=("chat:lobby:send",)))
    ordered = renew(driven, person(iat=NOW + 1, roles=("guest",)))
    assert plain(ordered) == ["Send", "Close"]
    assert of(ordered, commands.Close)[0].code == 3003
    assert sent(ordered)[0]["code"] == "permission_denied"


def test_failed_renewals_cost_attempts_and_a_good_one_gives_them_back() -> None:
    """After two bad tokens and a good one there are three attempts again."""
    driven = opened()
    assert sent(renew(driven, Refused("token_expired")))[0]["attempts_left"] == 2
    assert sent(renew(driven, Refused("token_invalid")))[0]["attempts_left"] == 1
    renew(driven, person(iat=NOW + 1))
    driven.now = NOW + 20
    assert sent(renew(driven, Refused("token_invalid")))[0]["attempts_left"] == 2
    assert lease_of(driven).ends_at == NOW + 300


def test_the_last_attempt_closes_an_open_connection_too() -> None:
    """A flood of bad tokens on an open socket ends with `too_many_attempts`."""
    driven = opened(policy(auth_attempts=1))
    ordered = renew(driven, Refused("token_invalid"))
    assert of(ordered, commands.Close)[0] == commands.Close(3000, "too_many_attempts;id=id0000000002")


def test_what_could_not_be_judged_costs_nothing() -> None:
    """`unavailable` leaves lease and attempts as they are, and says when to try again."""
    driven = opened(policy(auth_attempts=1))
    [error] = sent(renew(driven, Refused("unavailable", retry_after=1)))
    assert (error["attempts_left"], error["retry_after"], error["closing"]) == (1, 1, False)
    assert driven.state is State.OPEN


@pytest.mark.parametrize("members", [{"token": 1}, {"token": "t", "ticket": "t"}, {"ticket": None}])
def test_a_malformed_renewal_costs_an_attempt_and_never_reaches_the_application(members: dict[str, Any]) -> None:
    """What means us and is wrong is answered, not delivered."""
    driven = opened(policy(sources=frozenset({"header", "subprotocol", "message"})))
    ordered = driven.present(**members)
    assert sent(ordered)[0]["attempts_left"] == 2
    assert delivered(ordered) == []


def test_one_renewal_is_in_flight_and_only_the_newest_waits() -> None:
    """Of three tokens in a row the second is forgotten."""
    driven = opened()
    assert secret_of(of(driven.present("first"), commands.Verify)[0]) == "first"
    assert of(driven.present("second"), commands.Verify) == []
    assert of(driven.present("third"), commands.Verify) == []
    [question] = of(driven.answer(Refused("token_invalid")), commands.Verify)
    assert (secret_of(question), question.number) == ("third", 3)
    assert of(driven.answer(person(iat=NOW + 1)), commands.Verify) == []


def test_one_renewal_succeeds_in_ten_seconds() -> None:
    """After a success the next token waits until ten seconds have passed, and no longer."""
    driven = opened()
    renew(driven, person(iat=NOW + 1))
    driven.now = NOW + 4
    assert of(driven.present("eager"), commands.Verify) == []
    assert driven.wake_at == NOW + 10
    [question] = of(driven.wake(NOW + 10), commands.Verify)
    assert secret_of(question) == "eager"
    assert sent(driven.answer(person(iat=NOW + 2)))[0]["type"] == "auth_success"


def test_a_renewal_that_is_never_answered_is_given_up() -> None:
    """After `auth_timeout` it counts as unavailable, costs nothing, and the next one is asked."""
    driven = opened()
    driven.present("first")
    driven.present("second")
    ordered = driven.wake(NOW + 10)
    assert [error["code"] for error in sent(ordered)] == ["unavailable"]
    assert secret_of(of(ordered, commands.Verify)[0]) == "second"
    assert driven.answer(person(iat=NOW + 1), 2) == []
    assert lease_of(driven).ends_at == NOW + 300


def test_messages_go_on_while_a_renewal_is_verified() -> None:
    """An open connection does not wait for its renewal."""
    driven = opened()
    driven.present()
    assert delivered(driven.say("hello")) == ["hello"]


def test_nobody_becomes_somebody_once() -> None:
    """An anonymous connection becomes Alice's, and then never Bob's."""
    driven = Driven(handshake(policy(anonymous=True), offers=["wsauth.v1"]))
    driven.start()
    [welcome] = sent(driven.connect())
    assert (welcome["issuer"], welcome["subject"], welcome["roles"]) == (None, None, ["anonymous"])
    assert sent(renew(driven, person()))[0]["subject"] == "alice"
    driven.now = NOW + 20
    assert sent(renew(driven, person("bob", iat=NOW + 20)))[0]["code"] == "identity_mismatch"


def test_a_bad_credential_leaves_nobody_nobody() -> None:
    """Only an attempt is gone."""
    driven = Driven(handshake(policy(anonymous=True), offers=["wsauth.v1"]))
    driven.start()
    driven.connect()
    assert sent(renew(driven, Refused("token_invalid")))[0]["attempts_left"] == 2
    assert lease_of(driven).identity is NOBODY


def test_messages_of_who_does_not_speak_are_not_looked_at() -> None:
    """Without `wsauth.v1` an `auth` message is the application's."""
    driven = opened()
    driven.machine.speaks = False
    text = '{"type":"auth","token":"t"}'
    assert delivered(driven.say(text)) == [text]


# Too late, or nearly.


def test_a_renewal_in_grace_revives_the_lease_and_passes_what_waited() -> None:
    """The application goes on, the messages of the meantime come in order, then new ones."""
    driven = stale()
    driven.now = NOW + 305
    assert driven.say("one") == []
    assert driven.say(b"two") == []
    ordered = renew(driven, person(ends=NOW + 900, iat=NOW + 305))
    assert plain(ordered) == ["Pause", "Send", "Deliver", "Deliver"]
    assert of(ordered, commands.Pause) == [commands.Pause("upstream", False)]
    assert delivered(ordered) == ["one", b"two"]
    assert delivered(driven.say("three")) == ["three"]


@pytest.mark.parametrize(("token", "iat"), [("alices-token", NOW + 9), ("other", NOW - 1)])
def test_an_older_credential_does_not_revive(token: str, iat: float) -> None:
    """On a stale connection the same token and an older one are expired, and cost an attempt."""
    driven = stale()
    [error] = sent(renew(driven, person(ends=NOW + 900, iat=iat), token))
    assert (error["code"], error["closing"], error["attempts_left"]) == ("token_expired", False, 2)
    assert driven.state is State.STALE


def test_a_late_renewal_is_waited_for_without_grace() -> None:
    """What was asked before the end and is answered within `auth_timeout` keeps the connection."""
    driven = opened(policy(grace=0))
    driven.now = NOW + 299
    driven.present()
    ordered = driven.wake(NOW + 300)
    assert plain(ordered) == ["Pause", "Send"]
    driven.now = NOW + 308
    assert sent(driven.answer(person(ends=NOW + 900, iat=NOW + 299)))[0]["type"] == "auth_success"
    assert driven.state is State.OPEN


def test_a_late_renewal_that_fails_without_grace_closes() -> None:
    """With the last hope the connection goes, under the id that was told at the end."""
    driven = opened(policy(grace=0))
    driven.now = NOW + 299
    driven.present()
    [ended] = sent(driven.wake(NOW + 300))
    driven.now = NOW + 301
    ordered = driven.answer(Refused("token_invalid"))
    assert [error["code"] for error in sent(ordered)] == ["token_invalid", "token_expired"]
    assert of(ordered, commands.Close)[0] == commands.Close(3000, f"token_expired;id={ended['id']}")


def test_a_late_renewal_is_not_waited_for_longer_than_auth_timeout() -> None:
    """Asked a second before the end, it is given up ten seconds later."""
    driven = opened(policy(grace=0))
    driven.now = NOW + 299
    driven.present()
    driven.wake(NOW + 300)
    assert driven.wake_at == NOW + 309
    assert driven.wake()[-1] == commands.WakeAt(NOW + 314)
    assert driven.state is State.CLOSING


def test_without_anything_under_way_no_grace_means_the_end() -> None:
    """With `grace` 0 and nothing asked the connection closes at the lease's end."""
    driven = opened(policy(grace=0))
    ordered = driven.wake(NOW + 300)
    assert plain(ordered) == ["Send", "Close"]
    assert sent(ordered)[0]["closing"] is True
