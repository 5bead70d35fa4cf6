"""Handshakes over TLS with a client certificate: when it counts, and what becomes of the lease."""

from base64 import b64encode
from typing import Any

import pytest

from tests.unit.core.protocol.driving import BEARER, HOST, NOW, ORIGIN, Driven, of, person, policy
from wsauth.core.credentials import Credentials
from wsauth.core.handshake import Handshake, Header, read, read_raw
from wsauth.core.identity import Identity
from wsauth.core.lease import grant
from wsauth.core.permissions import Permissions
from wsauth.core.protocol import commands
from wsauth.core.protocol.states import State
from wsauth.core.routes import Policy, Routes
from wsauth.errors import Refused

DEVICES = "CN=Devices"
ALICE: dict[str, Any] = {
    "subject": ((("commonName", "alice"),),),
    "issuer": ((("commonName", "Devices"),),),
    "serialNumber": "0A",
    "notBefore": "Jan  1 00:00:00 2026 GMT",
    "notAfter": "Jan 16 00:00:00 2027 GMT",
    "subjectAltName": (("DNS", "alice.example"),),
}
ENDS = 1_800_057_600.0
COOKIE: Header = (b"cookie", b"session=c")
FOREIGN: Header = (b"origin", b"https://mallory.example")
SOURCES = frozenset({"header", "cookie", "ticket", "subprotocol", "message", "certificate"})


def handshake(
    *headers: Header,
    rules: Policy | None = None,
    certificate: dict[str, Any] | None = ALICE,
    query: bytes = b"",
    offers: tuple[str, ...] = (),
) -> Handshake:
    """Read a handshake that came over TLS with a certificate."""
    rules = rules or policy(sources=SOURCES)
    cookies = ["session"]
    return read([HOST, *headers], query, offers, rules, private=True, cookies=cookies, certificate=certificate)


def presented(asked: Handshake) -> Credentials:
    """Return what was presented."""
    assert asked.refused is None
    assert asked.credentials is not None
    return asked.credentials


def code(asked: Handshake) -> str:
    """Return why it is refused."""
    assert asked.refused is not None
    assert asked.credentials is None
    return asked.refused.code


def test_a_certificate_is_found_where_it_is_a_source() -> None:
    """It has no secret: whoever holds its key has shown that to TLS."""
    found = presented(handshake())
    assert (found.kind, found.source, found.secret) == ("certificate", "certificate", "")
    assert found.certificate is not None
    assert (found.certificate.subject, found.certificate.issuer) == ("alice", DEVICES)
    assert found.certificate.not_after == ENDS


def test_the_route_says_what_of_it_is_the_subject() -> None:
    """`certificate_subject = "dns"`."""
    found = presented(handshake(rules=policy(sources=SOURCES, certificate_subject="dns")))
    assert found.certificate is not None
    assert found.certificate.subject == "alice.example"


@pytest.mark.parametrize("certificate", [None, {}])
def test_who_shows_no_certificate_has_none(certificate: dict[str, Any] | None) -> None:
    """The library says nothing, or an empty thing; other sources remain."""
    asked = handshake(certificate=certificate)
    assert asked.refused is None
    assert asked.credentials is None
    only = handshake(certificate=certificate, rules=policy(sources=frozenset({"certificate"})))
    assert code(only) == "credentials_missing"


def test_where_it_is_no_source_it_is_as_if_it_were_not_there() -> None:
    """A browser shows it to every route of the server, so it is not an error; it opens nothing either."""
    asked = handshake(rules=policy())
    assert (asked.refused, asked.credentials) == (None, None)
    assert code(handshake(rules=policy(sources=frozenset({"header"})))) == "credentials_missing"
    assert presented(handshake(BEARER, rules=policy())).source == "header"


@pytest.mark.parametrize(
    ("headers", "query", "offers", "source"),
    [
        ([BEARER], b"", (), "header"),
        ([], b"ticket=t", (), "ticket"),
        ([], b"", ("wsauth.v1", "wsauth.bearer.b3Bh"), "subprotocol"),
    ],
)
def test_an_explicit_credential_goes_before_it(
    headers: list[Header], query: bytes, offers: tuple[str, ...], source: str
) -> None:
    """What was put there on purpose counts; the certificate is not even read."""
    unreadable = {**ALICE, "subject": ()}
    for certificate in (ALICE, unreadable):
        asked = handshake(*headers, query=query, offers=offers, certificate=certificate)
        assert presented(asked).source == source


def test_a_bad_explicit_credential_never_falls_back_to_it() -> None:
    """An error is an error, whatever TLS knows."""
    assert code(handshake((b"authorization", b"Bearer"))) == "credentials_invalid"
    basic = (b"authorization", b"Basic " + b64encode(b"a:b"))
    assert code(handshake(basic)) == "credentials_invalid"


def test_a_page_that_is_not_allowed_is_refused_with_it() -> None:
    """A browser shows the certificate for any page that asks, so the Origin decides, as ever (ATTACKS HS-01)."""
    assert code(handshake(FOREIGN)) == "origin_denied"
    assert presented(handshake(ORIGIN)).source == "certificate"


def test_a_cookie_beside_it_is_ambiguous() -> None:
    """Both came by themselves, and nobody said which of the two people it is."""
    asked = handshake(ORIGIN, COOKIE)
    assert code(asked) == "credentials_ambiguous"
    assert asked.refused is not None
    assert asked.refused.mend == 'sources of /ws: leave out "cookie" or "certificate"'
    assert code(handshake(COOKIE)) == "origin_denied"


def test_of_cookie_and_certificate_only_a_source_counts() -> None:
    """The other one is not looked at, and the cookie does not go on."""
    found = handshake(COOKIE, rules=policy(sources=frozenset({"certificate"})))
    assert presented(found).source == "certificate"
    assert found.headers == [HOST]
    assert presented(handshake(ORIGIN, COOKIE, rules=policy())).source == "cookie"


def test_a_certificate_that_names_nobody_is_refused_also_where_nobody_may_come() -> None:
    """A bad credential never becomes anonymous."""
    nameless = {**ALICE, "subject": ()}
    rules = policy(sources=SOURCES, anonymous=True)
    assert code(handshake(certificate=nameless, rules=rules)) == "credentials_invalid"
    assert presented(handshake(rules=rules)).kind == "certificate"


def test_the_gateway_reads_it_too() -> None:
    """`read_raw` hands it on."""
    rules = policy(sources=SOURCES)
    asked = read_raw([HOST], b"", "/ws", Routes([rules], None), private=True, certificate=ALICE)
    assert presented(asked).source == "certificate"


# The lease.


def identity(ends: float = ENDS) -> Identity:
    """Return whose certificate it is."""
    return Identity("alice", issuer=DEVICES, expires_at=ends, token_id="0A", claims={"iat": NOW - 1000})


def test_the_lease_ends_with_the_certificate() -> None:
    """It is not cut to `access_ttl`, but to the age of the connection (CONTRACT section 6)."""
    found = presented(handshake())
    for age, ends in ((86_400.0, ENDS), (100.0, NOW + 100)):
        rules = policy(max_connection_age=age)
        assert grant(identity(), Permissions(()), found, rules, now=NOW, opened_at=NOW).ends_at == ends


def test_at_its_end_the_connection_is_stale_and_then_closed() -> None:
    """No message renews it but one for the same identity, and there is none."""
    driven = Driven(handshake(offers=("wsauth.v1",)))
    driven.start()
    driven.answer(identity(NOW + 60))
    driven.connect()
    assert driven.machine.source == "certificate"
    driven.present()
    driven.answer(person())
    assert '"identity_mismatch"' in of(driven.ordered, commands.Send)[-1].text
    states = []
    for when in (NOW + 60, NOW + 70):
        driven.wake(when)
        states.append(driven.state)
    assert states == [State.STALE, State.CLOSING]
    assert of(driven.ordered, commands.Close)[-1].code == 3000


def test_an_ended_certificate_opens_nothing() -> None:
    """TLS refuses it; and where TLS was spoken before the end, the lease does."""
    driven = Driven(handshake())
    driven.start()
    driven.answer(identity(NOW))
    assert of(driven.ordered, commands.Refuse)[-1].refusal.code == "token_expired"


def test_a_refused_certificate_is_told_by_its_source() -> None:
    """The log says where it came from."""
    driven = Driven(handshake())
    driven.start()
    driven.answer(Refused("credentials_invalid", "signed by CN=Mallory"))
    told = of(driven.ordered, commands.Tell)[-1].event
    assert (told.code, told.source) == ("credentials_invalid", "certificate")  # type: ignore[attr-defined]  # a refusal's
