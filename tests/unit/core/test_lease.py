"""Leases: their end, and which credential is older or weaker."""

from math import inf
from typing import Any

import pytest

from tests.unit.core.protocol.driving import NOW, person, policy
from wsauth.core.credentials import Credentials
from wsauth.core.identity import NOBODY, OWN_ISSUER, Identity
from wsauth.core.lease import Lease, grant, is_older, is_unchanged, is_weaker, warn_at
from wsauth.core.permissions import Permissions

NOTHING = Permissions(())
TOKEN = Credentials("token", "t", source="header")
COOKIE = Credentials("token", "t", source="cookie", cookie="__Host-wsauth")
TICKET = Credentials("ticket", "t", source="ticket")
PASSWORD = Credentials("password", "p", source="basic", username="alice")


@pytest.mark.parametrize(
    ("credentials", "own_end", "age", "ends_at"),
    [
        (TOKEN, 900, 86_400, 900),
        (TOKEN, None, 86_400, 86_300),
        (TOKEN, 100_000, 86_400, 86_300),
        (TICKET, 900, 86_400, 300),
        (TICKET, 20, 86_400, 20),
        (TICKET, None, 86_400, 300),
        (TICKET, None, 150, 50),
        (PASSWORD, None, 86_400, 300),
        (PASSWORD, 900, 86_400, 300),
        (PASSWORD, 20, 86_400, 20),
        (None, None, 86_400, 86_300),
    ],
)
def test_a_lease_ends_at_the_first_of_its_bounds(
    credentials: Credentials | None, own_end: float | None, age: float, ends_at: float
) -> None:
    """The credential's own end, five minutes for tickets and passwords, and the connection's age count."""
    who = person(ends=None if own_end is None else NOW + own_end)
    rules = policy(max_connection_age=age)
    lease = grant(who, NOTHING, credentials, rules, now=NOW, opened_at=NOW - 100)
    assert lease.ends_at == NOW + ends_at
    assert (lease.identity, lease.permissions, lease.granted_at) == (who, NOTHING, NOW)


@pytest.mark.parametrize(
    ("credentials", "own_end", "ends_at"),
    [
        (TOKEN, 900, 900),
        (TOKEN, 100, 100),
        (TOKEN, None, 300),
        (COOKIE, 2_592_000, 300),
        (COOKIE, 100, 100),
        (COOKIE, None, 300),
        (TICKET, 2_592_000, 300),
        (TICKET, 100, 100),
        (PASSWORD, 2_592_000, 300),
        (PASSWORD, None, 300),
    ],
)
def test_of_our_own_only_an_access_token_brings_its_end(
    credentials: Credentials, own_end: float | None, ends_at: float
) -> None:
    """Cookie, ticket, password and API key (a token without an end) are bounded by `access_ttl` and by the session."""
    who = Identity("alice", issuer=OWN_ISSUER, expires_at=None if own_end is None else NOW + own_end)
    lease = grant(who, NOTHING, credentials, policy(), now=NOW, opened_at=NOW - 100)
    assert lease.ends_at == NOW + ends_at
    assert warn_at(lease) == NOW + ends_at - min(30, 0.15 * ends_at)


def test_somebody_elses_cookie_brings_its_end() -> None:
    """A JWT of another issuer is a JWT, wherever it was found."""
    assert grant(person(ends=NOW + 900), NOTHING, COOKIE, policy(), now=NOW, opened_at=NOW).ends_at == NOW + 900


def test_a_lease_may_have_no_end() -> None:
    """Nobody on a connection without an age limit stays for ever."""
    lease = grant(NOBODY, NOTHING, None, policy(max_connection_age=inf), now=NOW, opened_at=NOW)
    assert not lease.ends
    assert warn_at(lease) == inf


def test_a_lease_does_not_hold_its_credential() -> None:
    """What tells the same token again is not the token, and another one differs."""
    rules = policy()
    first, again, other = (
        grant(person(), NOTHING, Credentials("token", secret, source="message"), rules, now=NOW, opened_at=NOW)
        for secret in ("alices-token", "alices-token", "other")
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert "alices-token" not in repr(first)


def dated(iat: Any, ends: float | None) -> Identity:
    """Return Alice as of a credential that was made and ends at these times."""
    claims = {} if iat is None else {"iat": iat}
    return Identity("alice", issuer="i", expires_at=ends, claims=claims)


@pytest.mark.parametrize(
    ("new", "old", "older"),
    [
        (dated(9, 99), dated(10, 50), True),
        (dated(10, 50), dated(10, 99), False),
        (dated(11, 50), dated(10, 99), False),
        (dated(10.5, 50), dated(10, 99), False),
        (dated(None, 50), dated(10, 99), True),
        (dated(9, 99), dated(None, 50), False),
        (dated(None, 50), dated(None, 50), False),
        (dated(None, None), dated(None, 50), False),
        (dated(None, 50), dated(None, None), False),
        (dated("9", 50), dated(10, 99), True),
    ],
)
def test_older_is_told_by_iat_and_else_by_the_end(new: Identity, old: Identity, older: bool) -> None:
    """Where one of them has no `iat` the ends are compared, and where there is nothing to compare it is not older."""
    assert is_older(new, old) is older


def own(ends: float | None = None, **claims: Any) -> Identity:
    """Return Alice, a user of our own, as of a credential with these claims."""
    return Identity("alice", issuer=OWN_ISSUER, expires_at=ends, claims=claims)


@pytest.mark.parametrize(
    ("new", "old", "older"),
    [
        (own(epoch=1, iat=20), own(epoch=2, iat=10), True),
        (own(epoch=2, iat=10), own(epoch=1, iat=20), False),
        (own(epoch=2, iat=9), own(epoch=2, iat=10), True),
        (own(epoch=2, iat=11), own(epoch=2, iat=10), False),
        (own(iat=9), own(epoch=2, iat=10), True),
        (own(epoch="1", iat=11), own(epoch=2, iat=10), False),
        (own(ends=300), own(ends=2_592_000), False),
        (own(epoch=2, ends=300), own(epoch=2, ends=2_592_000), False),
        (dated(None, 300), dated(None, 2_592_000), True),
    ],
)
def test_of_our_own_the_epoch_tells_older(new: Identity, old: Identity, older: bool) -> None:
    """Then comes `iat`; the end of a token is not compared with that of a session."""
    assert is_older(new, old) is older


def test_somebody_elses_epoch_means_nothing() -> None:
    """What another issuer calls an epoch does not order its tokens."""
    new, old = (Identity("alice", issuer="i", claims={"epoch": n, "iat": 20 - n}) for n in (1, 2))
    assert not is_older(new, old)


@pytest.mark.parametrize("credentials", [COOKIE, TOKEN])
def test_the_same_cookie_and_api_key_change_nothing(credentials: Credentials) -> None:
    """Only the server extends what they opened; an older session's token changes nothing either."""
    lease = grant(own(epoch=2, iat=10), NOTHING, credentials, policy(), now=NOW, opened_at=NOW)
    other = Credentials("token", "other", source="message")
    assert is_unchanged(own(epoch=2, iat=11), credentials, lease)
    assert is_unchanged(own(epoch=1, iat=11), other, lease)
    assert not is_unchanged(own(epoch=2, iat=11), other, lease)


@pytest.mark.parametrize("credentials", [TICKET, PASSWORD])
def test_a_ticket_and_a_password_are_a_new_proof(credentials: Credentials) -> None:
    """The same password again, or another ticket, renews the lease."""
    lease = grant(own(iat=10), NOTHING, credentials, policy(), now=NOW, opened_at=NOW)
    assert not is_unchanged(own(iat=10), credentials, lease)


def proving(auth_time: float | None = None, **claims: Any) -> Identity:
    """Return Alice with these claims."""
    return Identity("alice", issuer="i", auth_time=auth_time, claims=claims)


@pytest.mark.parametrize(
    ("new", "old", "weaker"),
    [
        (proving(), proving(), False),
        (proving(cnf={"jkt": "a"}), proving(), False),
        (proving(), proving(cnf={"jkt": "a"}), True),
        (proving(amr=["pwd"]), proving(amr=["pwd", "mfa"]), True),
        (proving(amr=["otp", "mfa"]), proving(amr=("mfa",)), False),
        (proving(amr="mfa"), proving(amr=["mfa"]), True),
        (proving(acr="1"), proving(acr="1"), False),
        (proving(acr="2"), proving(acr="1"), False),
        (proving(acr="9"), proving(acr="10"), True),
        (proving(acr="urn:silver"), proving(acr="urn:gold"), True),
        (proving(2, acr="urn:silver"), proving(1, acr="urn:gold"), False),
        (proving(1, acr="urn:silver"), proving(1, acr="urn:gold"), True),
        (proving(2), proving(1, acr="urn:gold"), True),
        (proving(2, acr="0"), proving(1, acr="1"), True),
    ],
)
def test_weaker_is_what_has_lost_something(new: Identity, old: Identity, weaker: bool) -> None:
    """A binding, a second factor or a level that is gone is not made good by a newer token."""
    assert is_weaker(new, old) is weaker


@pytest.mark.parametrize(
    ("length", "before"), [(100_000, 30), (200, 30), (199, 29.85), (100, 15), (34, 5.1), (20, 5), (5.5, 5), (5, 0)]
)
def test_a_warning_comes_at_fifteen_percent(length: float, before: float) -> None:
    """At most 30 s and at least 5 s before the end; a lease that is no longer than that has none."""
    lease = Lease(person(), NOTHING, NOW, NOW + length, 1)
    assert warn_at(lease) == pytest.approx(NOW + length - before)
