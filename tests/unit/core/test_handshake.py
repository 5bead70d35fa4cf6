"""Handshakes: each source, origins, cookies, and what is cut out (CONTRACT section 5)."""

from base64 import b64encode, urlsafe_b64encode

import pytest

from tests.unit.core.protocol.driving import BEARER, HOST, ORIGIN, handshake, policy
from wsauth.core.credentials import SOURCES
from wsauth.core.handshake import Handshake, Header, authorization, read, read_query, read_raw
from wsauth.core.origins import Origins
from wsauth.core.routes import NOWHERE, Policy, Routes
from wsauth.errors import Refused

JWS = "eyJhbGciOiJub25lIn0.e30.c2ln"
EVERY = policy(sources=frozenset(SOURCES))
BASIC = b"Basic " + b64encode(b"alice:se:cret")


def code(asked: Handshake) -> str:
    """Return the code of a refused handshake."""
    assert asked.refused is not None
    assert asked.credentials is None
    return asked.refused.code


def found(asked: Handshake) -> tuple[str, str, str]:
    """Return kind, secret and source of what was presented."""
    assert asked.refused is None
    assert asked.credentials is not None
    return asked.credentials.kind, asked.credentials.secret, asked.credentials.source


# Authorization.


@pytest.mark.parametrize("value", ["Bearer t", "bearer t", "BEARER   t", "Bearer t "])
def test_a_bearer_token_is_found_and_cut(value: str) -> None:
    """The scheme's letter case does not matter, and the header does not go on."""
    asked = handshake(None, (b"authorization", value.encode()), (b"x-kept", b"1"))
    assert found(asked) == ("token", "t", "header")
    assert asked.headers == [HOST, (b"x-kept", b"1")]


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Basic", "Basic !", "Digest x", "t", "Basic YWxpY2U="],
)
@pytest.mark.parametrize("anonymous", [False, True])
def test_a_malformed_authorization_is_refused(value: str, anonymous: bool) -> None:
    """It is a credential and it is wrong; it never falls back to nobody (ATTACKS HS-37)."""
    asked = handshake(policy(anonymous=anonymous), (b"authorization", value.encode()))
    assert code(asked) == "credentials_invalid"


def test_two_authorization_headers_are_refused() -> None:
    """Two explicit credentials are ambiguous, wherever they stand (PROTOCOL.md section 2.2)."""
    assert code(handshake(None, BEARER, BEARER)) == "credentials_ambiguous"


def test_a_password_is_found_where_the_route_takes_it() -> None:
    """Only the first colon separates, and the source is `basic`."""
    asked = handshake(EVERY, (b"authorization", BASIC))
    assert found(asked) == ("password", "se:cret", "basic")
    assert asked.credentials is not None
    assert asked.credentials.username == "alice"
    refused = handshake(None, (b"authorization", BASIC))
    assert code(refused) == "credentials_invalid"
    assert refused.refused is not None
    assert refused.refused.mend == 'sources = [..., "basic"]'


def test_a_password_over_plain_ws_is_refused() -> None:
    """Others could have heard it, so it is not even looked at."""
    assert code(handshake(EVERY, (b"authorization", BASIC), private=False)) == "credentials_invalid"


def test_a_user_id_may_be_in_utf_8() -> None:
    """RFC 7617 section 2.1."""
    read_out = authorization("Basic " + b64encode("ålice:påss".encode()).decode())
    assert (read_out.username, read_out.secret) == ("ålice", "påss")


# Subprotocols.


@pytest.mark.parametrize(
    ("offers", "kind", "secret", "source"),
    [
        (["wsauth.v1", f"wsauth.bearer.{JWS}"], "token", JWS, "subprotocol"),
        ([f"wsauth.bearer.{JWS}", "wsauth.v1"], "token", JWS, "subprotocol"),
        (["chat", f"wsauth.bearer.{JWS}"], "token", JWS, "subprotocol"),
        (["wsauth.v1", "wsauth.bearer.b3Bhy6Z1ZQ"], "token", "opa\u02e6ue", "subprotocol"),
        (["wsauth.v1", "wsauth.ticket.t1"], "ticket", "t1", "ticket"),
    ],
)
def test_a_credential_among_the_subprotocols_is_found_and_cut(
    offers: list[str], kind: str, secret: str, source: str
) -> None:
    """A JWS stands there as it is and anything else in base64url; neither goes on."""
    asked = handshake(None, (b"sec-websocket-protocol", ", ".join(offers).encode()), offers=offers)
    assert found(asked) == (kind, secret, source)
    assert asked.speaks is ("wsauth.v1" in offers)
    assert asked.offered == [offer for offer in offers if not offer.startswith("wsauth.")]
    kept = [(b"sec-websocket-protocol", b"chat")] if asked.offered else []
    assert asked.headers == [HOST, *kept]


@pytest.mark.parametrize("offers", [[f"wsauth.bearer.{JWS}"], ["wsauth.ticket.t"], [JWS]])
def test_a_credential_alone_is_refused(offers: list[str]) -> None:
    """A browser needs one of its names back, and a credential is never sent back."""
    assert code(handshake(None, offers=offers)) == "request_invalid"


@pytest.mark.parametrize("text", ["%%%%", "a", "YW!Jj", "_w", "YW+j"])
def test_what_is_no_base64url_is_refused(text: str) -> None:
    """Other characters and bytes that are no UTF-8 are not skipped (RFC 4648 section 5)."""
    assert code(handshake(None, offers=["wsauth.v1", f"wsauth.bearer.{text}"])) == "token_invalid"


def test_who_speaks_is_known_whatever_stands_first() -> None:
    """A page that offers a broken token before `wsauth.v1` can still read why it is refused."""
    asked = handshake(None, ORIGIN, offers=["wsauth.bearer.%%%%", "wsauth.v1", "chat"])
    assert code(asked) == "token_invalid"
    assert asked.speaks


def test_our_names_never_reach_the_application() -> None:
    """Whatever begins with `wsauth.` is cut, known or not."""
    offers = ["chat", "wsauth.v2"]
    asked = handshake(None, BEARER, (b"sec-websocket-protocol", b"chat, wsauth.v2"), offers=offers)
    assert asked.offered == ["chat"]
    assert asked.headers == [HOST, (b"sec-websocket-protocol", b"chat")]
    assert not asked.speaks


def test_subprotocols_without_ours_go_on_untouched() -> None:
    """Byte for byte as they came."""
    header = (b"sec-websocket-protocol", b"chat,chess")
    assert handshake(None, BEARER, header, offers=["chat", "chess"]).headers == [HOST, header]


@pytest.mark.parametrize(("beside", "echo"), [([], JWS), (["chat"], ""), (["wsauth.v1"], "")])
def test_a_bare_token_is_answered_only_where_it_must_be(beside: list[str], echo: str) -> None:
    """On a route that takes it and where it is the only offer, a browser gets it back."""
    asked = handshake(EVERY, offers=[JWS, *beside])
    assert found(asked) == ("token", JWS, "insecure_bare_subprotocol")
    assert asked.echo == echo


def test_a_bare_token_elsewhere_is_refused() -> None:
    """It is not taken for an application's name."""
    asked = handshake(None, offers=["chat", JWS])
    assert code(asked) == "credentials_invalid"
    assert JWS not in asked.offered


def test_a_token_that_is_not_compact_is_only_base64url() -> None:
    """Opaque tokens pass in base64url without padding."""
    text = urlsafe_b64encode(b"opaque?>token").decode().rstrip("=")
    assert found(handshake(None, offers=["wsauth.v1", f"wsauth.bearer.{text}"]))[1] == "opaque?>token"


# The query.


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "Access_Token", "%74oken"])
def test_a_token_in_the_query_is_refused(name: str) -> None:
    """It has been in a URL, good or not, and is cut from it (ATTACKS HS-38)."""
    asked = handshake(None, query=f"room=1&{name}={JWS}&x=%20".encode())
    assert code(asked) == "credentials_in_query"
    assert asked.query == b"room=1&x=%20"


@pytest.mark.parametrize("value", [JWS, f"Bearer%20{JWS}", f"Bearer+{JWS}"])
def test_a_token_in_the_query_is_taken_where_the_route_says_insecure(value: str) -> None:
    """With and without `Bearer`, and it does not go on."""
    asked = handshake(EVERY, query=f"token={value}".encode())
    assert found(asked) == ("token", JWS, "insecure_query")
    assert asked.query == b""


def test_a_ticket_in_the_query_is_a_source_of_its_own() -> None:
    """It is cut too, and refused where tickets are no source."""
    asked = handshake(None, query=b"ticket=t%2B1&room=1")
    assert found(asked) == ("ticket", "t+1", "ticket")
    assert asked.query == b"room=1"
    assert code(handshake(policy(sources=frozenset({"header"})), query=b"ticket=t")) == "credentials_invalid"


@pytest.mark.parametrize("query", [b"", b"a=1&&b", b"tokens=1&my_token=2", b"a=%20;token=3"])
def test_a_query_without_credentials_stays_as_it_was(query: bytes) -> None:
    """Byte for byte."""
    assert read_query(query) == ([], query)


# Several, none.


@pytest.mark.parametrize(
    ("headers", "query", "offers"),
    [
        ([BEARER], b"ticket=t", []),
        ([BEARER], b"", ["wsauth.v1", "wsauth.ticket.t"]),
        ([], b"ticket=t&ticket=t", []),
        ([], b"token=t&access_token=t", []),
        ([], b"", ["wsauth.v1", f"wsauth.bearer.{JWS}", f"wsauth.bearer.{JWS}"]),
        ([BEARER], b"token=t", []),
    ],
)
def test_two_explicit_credentials_are_refused(headers: list[Header], query: bytes, offers: list[str]) -> None:
    """Even where both are the same, nobody chooses (the log names both places)."""
    asked = handshake(EVERY, *headers, query=query, offers=offers)
    assert code(asked) == "credentials_ambiguous"
    assert asked.refused is not None
    assert " and " in asked.refused.reason


def test_nothing_presented_is_refused_where_no_message_may() -> None:
    """Without the source `message` and without `anonymous` there is no other chance."""
    closed = policy(sources=frozenset({"header"}))
    assert code(handshake(closed)) == "credentials_missing"
    for rules in (policy(), policy(sources=frozenset({"header"}), anonymous=True)):
        asked = handshake(rules)
        assert (asked.refused, asked.credentials) == (None, None)


def test_a_source_that_the_route_has_not_is_refused() -> None:
    """An explicit credential is never overlooked, not even where nobody may connect."""
    rules = policy(sources=frozenset({"message"}), anonymous=True)
    assert code(handshake(rules, BEARER)) == "credentials_invalid"
    assert code(handshake(rules, offers=["wsauth.v1", f"wsauth.bearer.{JWS}"])) == "credentials_invalid"


# Origins.


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"https://app.example.com", True),
        (b"HTTPS://APP.example.com", True),
        (b"https://app.example.com.", False),
        (b"https://app.example.com/", False),
        (b"https://app.example.com:443", False),
        (b"http://app.example.com", False),
        (b"https://app.example.com.evil.example", False),
        (b"https://evil.example#https://app.example.com", False),
        (b"https://xapp.example.com", False),
        (b"null", False),
        (b"https://app.example.com, https://evil.example", False),
        (b"https://\xc3\xa4pp.example.com", False),
        (b"https://app.example.com\x00", False),
    ],
)
@pytest.mark.parametrize("headers", [[], [BEARER]])
def test_only_an_exact_origin_may_connect(origin: bytes, allowed: bool, headers: list[Header]) -> None:
    """No prefix, no suffix, no parsing; and a good token does not help."""
    asked = handshake(None, *headers, (b"origin", origin))
    assert (asked.refused is None) is allowed
    assert asked.browser is allowed
    if not allowed:
        assert code(asked) == "origin_denied"


def test_a_denied_origin_is_explained_with_the_line_to_paste() -> None:
    """The log gets it, unless what was sent could do harm there."""
    asked = handshake(None, (b"origin", b"https://new.example.com"))
    assert asked.refused is not None
    assert asked.refused.mend == 'origins = ["https://new.example.com"]'
    hostile = handshake(None, (b"origin", b"https://x\x1b[31m" + b"y" * 500))
    assert hostile.refused is not None
    assert hostile.refused.mend == ""
    assert "\x1b" not in hostile.refused.reason
    assert len(hostile.refused.reason) < 300


@pytest.mark.parametrize(
    ("origin", "site", "allowed"),
    [
        (b"https://app.example.com", b"same-site", True),
        (b"https://app.example.com", b"cross-site", True),
        (b"https://app.example.com", b"same-origin", False),
        (b"https://chat.example.com", b"same-origin", True),
        (b"https://chat.example.com", b"cross-site", False),
    ],
)
def test_a_contradiction_with_sec_fetch_site_is_refused(origin: bytes, site: bytes, allowed: bool) -> None:
    """What the browser says of itself has to fit Origin and Host."""
    rules = policy(origins=Origins(["https://app.example.com", "https://chat.example.com"]))
    asked = handshake(rules, BEARER, (b"origin", origin), (b"sec-fetch-site", site))
    assert (asked.refused is None) is allowed


def test_a_program_has_no_origin() -> None:
    """With a header it may connect, and no refusal is spoken for it."""
    asked = handshake(None, BEARER)
    assert asked.refused is None
    assert not asked.browser


# Cookies.


def with_cookie(*headers: Header, sources: frozenset[str] | None = None) -> Handshake:
    """Read a handshake of a route to which the cookie `session` is a credential."""
    rules = policy() if sources is None else policy(sources=sources)
    return read([HOST, *headers], b"", [], rules, private=True, cookies=["session"])


def test_a_cookie_is_found_and_cut() -> None:
    """From an allowed page it is the credential, and the others go on."""
    asked = with_cookie(ORIGIN, (b"cookie", b"a=1; session=t; b=2"))
    assert found(asked) == ("token", "t", "cookie")
    assert asked.credentials is not None
    assert asked.credentials.cookie == "session"
    assert (b"cookie", b"a=1; b=2") in asked.headers


@pytest.mark.parametrize("name", ["wsauth-device", "__Host-wsauth-device"])
def test_a_devices_cookie_is_cut_and_no_credential(name: str) -> None:
    """What spares a device a lock is nothing for the application (LG-01), with a credential or without."""
    handshake = with_cookie((b"cookie", f"a=1; {name}=secret; b=2".encode()))
    assert (handshake.credentials, handshake.refused) == (None, None)
    assert [value for each, value in handshake.headers if each == b"cookie"] == [b"a=1; b=2"]


def test_a_cookie_needs_an_origin() -> None:
    """Without one, and from another page, it is not even looked at."""
    assert code(with_cookie((b"cookie", b"session=t"))) == "origin_denied"
    assert code(with_cookie((b"cookie", b"session=t"), (b"origin", b"https://evil.example"))) == "origin_denied"


def test_a_cookie_is_ignored_beside_an_explicit_credential() -> None:
    """The token in the header counts, and the cookie is cut all the same."""
    asked = with_cookie(BEARER, (b"cookie", b"session=t"))
    assert found(asked) == ("token", "alices-token", "header")
    assert asked.headers == [HOST]


def test_a_cookie_twice_is_refused() -> None:
    """In one header or in two."""
    assert code(with_cookie(ORIGIN, (b"cookie", b"session=t; session=u"))) == "request_invalid"
    assert code(with_cookie(ORIGIN, (b"cookie", b"session=t"), (b"cookie", b"session=t"))) == "request_invalid"


def test_a_cookie_is_no_credential_where_cookies_are_no_source() -> None:
    """It is cut, and the handshake is as if it had brought nothing."""
    asked = with_cookie((b"cookie", b"session=t"), sources=frozenset({"header", "message"}))
    assert (asked.refused, asked.credentials, asked.headers) == (None, None, [HOST])


def test_other_cookies_go_on_untouched() -> None:
    """Byte for byte, also without an Origin."""
    header = (b"cookie", b"a=1;b=2 ; Session=x")
    asked = with_cookie(BEARER, header)
    assert asked.headers == [HOST, header]


def test_reading_never_raises() -> None:
    """What a peer sent is a refused handshake, not an exception."""
    asked = handshake(None, (b"origin", b""), query=b"\xff=\xff&%zz")
    assert isinstance(asked.refused, Refused)


# A head that nobody else has read.


ROUTES = Routes([policy(), Policy(path="/open", origins=Origins([]), anonymous=True)], None)


def raw(*headers: Header, path: str = "/ws", query: bytes = b"") -> Handshake:
    """Read a handshake from its head alone."""
    return read_raw([HOST, *headers], query, path, ROUTES, private=True, cookies=["session"])


def test_a_raw_head_is_read_as_any_other() -> None:
    """Its route, its offers, and what was presented are found."""
    offer = (b"sec-websocket-protocol", f"wsauth.v1, wsauth.bearer.{JWS}".encode())
    asked = raw(offer, (b"sec-websocket-protocol", b"chat"), ORIGIN, query=b"a=1")
    assert found(asked) == ("token", JWS, "subprotocol")
    assert (asked.speaks, asked.offered, asked.browser, asked.query) == (True, ["chat"], True, b"a=1")
    assert (asked.policy.path, asked.host) == ("/ws", "chat.example.com")
    assert raw(path="/open").policy.anonymous
    assert found(raw(ORIGIN, (b"cookie", b"session=t")))[2] == "cookie"


@pytest.mark.parametrize(
    ("path", "offer", "refusal"),
    [
        ("/nothing", b"chat", "not_found"),
        ("/ws/../open", b"chat", "not_found"),
        ("/ws", b"chat, chat", "request_invalid"),
        ("/ws", b"chat,", "request_invalid"),
        ("/ws x", b"chat", "request_invalid"),
    ],
)
def test_a_raw_head_that_is_refused_keeps_its_policy(path: str, offer: bytes, refusal: str) -> None:
    """How the no is said is the route's to decide; nothing presented is looked at."""
    asked = raw(BEARER, (b"sec-websocket-protocol", offer), path=path)
    assert code(asked) == refusal
    assert asked.policy is (ROUTES.find(path) if path == "/ws" else NOWHERE)


@pytest.mark.parametrize("kind", ["bearer", "ticket"])
def test_the_same_credential_twice_is_ambiguous(kind: str) -> None:
    """It is not called a malformed list (HS-31)."""
    offers = f"wsauth.v1, wsauth.{kind}.{JWS}, wsauth.{kind}.{JWS}"
    assert code(raw((b"sec-websocket-protocol", offers.encode()))) == "credentials_ambiguous"
