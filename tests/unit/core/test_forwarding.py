"""What goes upstream (CONTRACT section 8; ATTACKS GW-01 to GW-07, GW-15)."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import pytest

from tests.unit.core.protocol.driving import BEARER, HOST, ORIGIN, policy
from wsauth.core.extensions import NONE, Offers, read_offers
from wsauth.core.fields import Field
from wsauth.core.forwarding import Forwarding, head, may_compress, target
from wsauth.core.handshake import Handshake, read
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.peers import Client
from wsauth.core.permissions import Permissions
from wsauth.core.request import Request
from wsauth.core.request import read as read_request
from wsauth.core.routes import Policy
from wsauth.errors import ConfigurationError

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ALICE = Identity("alice", issuer="https://login.example.com", roles=("member",), session_id="s1")
RIGHTS = Permissions(("chat:send",))
MALLORY = Client("203.0.113.9", way="203.0.113.9")
PLAIN = Forwarding()


def handshake(
    *headers: Field, offers: Sequence[str] = (), query: bytes = b"", rules: Policy | None = None
) -> Handshake:
    """Read a handshake with a token and these headers."""
    usual = [
        HOST,
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-key", b"x3JJHMbDL1EzLkh9GBhXDw=="),
        (b"sec-websocket-version", b"13"),
        BEARER,
    ]
    named = {name for name, _ in headers}
    kept = [header for header in usual if header[0] not in named]
    asked = read([*kept, *headers], query, offers, rules or policy(), private=True, cookies=("session",))
    assert asked.refused is None, asked.refused
    return asked


def sent(*headers: Field, forwarding: Forwarding = PLAIN, **changes: Any) -> Request:
    """Return the handshake that goes upstream, read as strictly as a client's."""
    asked = handshake(*headers, offers=changes.pop("offers", ()), query=changes.pop("query", b""))
    known: dict[str, Any] = {
        "path": "/ws",
        "key": KEY,
        "identity": ALICE,
        "permissions": RIGHTS,
        "client": MALLORY,
        "scheme": "https",
        "host": asked.host,
    }
    return read_request(head(forwarding, asked, **{**known, **changes}))


def values(request: Request, name: str) -> list[str]:
    """Return every value of a header in any spelling in which a backend could take it for this one."""
    return [value.decode("latin-1") for each, value in request.headers if each.decode().replace("_", "-") == name]


def test_the_upstream_gets_a_whole_handshake() -> None:
    """The client's in its essence, ours in what we say, in one known order."""
    request = sent(ORIGIN, (b"user-agent", b"test \xe4"), (b"x-room", b"1"), query=b"room=1", offers=["chat", "chess"])
    assert request.start == b"GET /ws?room=1 HTTP/1.1"
    assert request.websocket
    assert request.headers == [
        (b"host", b"chat.example.com"),
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", KEY),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"chat.example.com"),
        (b"x-forwarded-for", b"203.0.113.9"),
        (b"sec-websocket-protocol", b"chat, chess"),
        (b"x-wsauth-issuer", b"https://login.example.com"),
        (b"x-wsauth-subject", b"alice"),
        (b"x-wsauth-session", b"s1"),
        (b"x-wsauth-roles", b"member"),
        (b"x-wsauth-permissions", b"chat:send"),
        (b"origin", b"https://app.example.com"),
        (b"user-agent", b"test \xe4"),
        (b"x-room", b"1"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "x-user",
        "x-forwarded-user",
        "remote-user",
        "x-wsauth-subject",
        "x-wsauth-anything",
        "x-real-ip",
        "forwarded",
        "x-forwarded-port",
        "x-forwarded-client-cert",
        "x-own",
    ],
)
@pytest.mark.parametrize("spelled", [str, lambda name: name.replace("-", "_"), lambda name: name.replace("-", "_", 1)])
def test_gw_01_02_no_client_says_who_it_is(name: str, spelled: Any) -> None:
    """Whatever tells of identities or of the way here is taken out in every spelling, wherever it stands."""
    forwarding = Forwarding(remove_headers=("X-User", "X-Forwarded-User", "Remote-User", "X_Own"))
    spelling = spelled(name).encode()
    request = sent((spelling, b"mallory"), (b"x-kept", b"1"), (spelling, b"mallory"), forwarding=forwarding)
    assert "mallory" not in str(request.headers)
    assert values(request, "x-kept") == ["1"]


def test_gw_01_a_star_stands_for_all_that_begin_so() -> None:
    """`X-Auth-*` takes every one of them."""
    forwarding = Forwarding(remove_headers=("X-Auth-*", "User-*"))
    headers = (b"x-auth-user", b"m"), (b"x_auth_roles", b"m"), (b"user-agent", b"m"), (b"x-author", b"kept")
    request = sent(*headers, forwarding=forwarding)
    assert b"m" not in [value for _, value in request.headers]
    assert values(request, "x-author") == ["kept"]


def test_gw_02_a_name_has_no_white_space() -> None:
    """What a head does not let in, `wsauth.core.request` refuses, so that it never gets here."""
    with pytest.raises(ValueError, match="NAME: VALUE"):
        read_request(b"GET / HTTP/1.1\r\nHost: a\r\nX-User : alice\r\n\r\n")


@pytest.mark.parametrize("before", [True, False])
def test_gw_03_the_upstream_sees_one_of_each_of_ours(before: bool) -> None:
    """Before ours, behind it, twice, comma-joined: a client's is never there."""
    ours = ["x-wsauth-subject", "x-wsauth-roles", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
    lies = [(name.encode(), value) for name in ours for value in (b"root", b"root, alice")]
    request = sent(*lies, ORIGIN) if before else sent(ORIGIN, *lies)
    for name in ours:
        assert len(values(request, name)) == 1
    assert "root" not in str(request.headers)


@pytest.mark.parametrize(
    "connection",
    [
        b"Upgrade, X-Wsauth-Subject, X-Wsauth-Assertion, X-Forwarded-For, Host, Sec-WebSocket-Key",
        b"Upgrade, Connection, Sec-WebSocket-Protocol, Sec-WebSocket-Version",
        b"upgrade,x_wsauth_subject ,,\tx-forwarded-for",
        b"keep-alive, Upgrade",
    ],
)
def test_gw_05_no_connection_header_takes_ours_away(connection: bytes) -> None:
    """What it lists is taken from the client's headers only (CVE-2025-48865)."""
    request = sent((b"connection", connection), assertion="a.b.c", offers=["chat"])
    assert values(request, "connection") == ["Upgrade"]
    names = ("x-wsauth-subject", "x-wsauth-assertion", "x-forwarded-for", "host", "sec-websocket-key")
    assert [values(request, name) for name in names] == [
        ["alice"],
        ["a.b.c"],
        ["203.0.113.9"],
        ["chat.example.com"],
        [KEY.decode()],
    ]
    assert values(request, "sec-websocket-protocol") == ["chat"]


def test_gw_05_what_connection_lists_goes_no_further() -> None:
    """Also what stands before it, in several lines, and in another spelling (RFC 9110 section 7.6.1)."""
    request = sent(
        (b"x-hop", b"1"),
        (b"connection", b"Upgrade, X-Hop"),
        (b"connection", b"X-Other, Cookie"),
        (b"x_other", b"1"),
        (b"cookie", b"a=1"),
        (b"x-kept", b"1"),
    )
    assert [values(request, name) for name in ("x-hop", "x-other", "cookie", "x-kept")] == [[], [], [], ["1"]]


@pytest.mark.parametrize(
    "name",
    [
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "http2-settings",
        "expect",
        "content-type",
        "content_length",
        "transfer_encoding",
        "sec-websocket-extensions",
        "sec_websocket_protocol",
    ],
)
def test_what_is_between_two_neighbours_goes_no_further(name: str) -> None:
    """Nor does what is about a body, or negotiated with us."""
    assert values(sent((name.encode(), b"x")), name.replace("_", "-")) == []


def test_gw_06_07_the_way_is_as_we_know_it() -> None:
    """What a client says of its address and scheme is not passed on; behind a proxy its chain goes on."""
    lies = (b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-proto", b"https"), (b"forwarded", b"for=6.6.6.6")
    stranger = sent(*lies, scheme="http")
    assert values(stranger, "x-forwarded-for") == ["203.0.113.9"]
    assert values(stranger, "x-forwarded-proto") == ["http"]
    assert values(stranger, "forwarded") == []
    known = Client("203.0.113.9", secure=True, proxied=True, way="203.0.113.9, 10.1.1.1, 10.0.0.1")
    assert values(sent(*lies, client=known), "x-forwarded-for") == ["203.0.113.9, 10.1.1.1, 10.0.0.1"]
    assert values(sent(client=Client("")), "x-forwarded-for") == []


def test_gw_15_no_credential_goes_upstream() -> None:
    """Neither header, cookie, ticket nor offer; other cookies and offers do."""
    secret = "wsauth.bearer.eyJhbGciOiJub25lIn0.e30.c2ln"
    cookie = (b"cookie", b"theme=dark; session=s3cret")
    request = sent(cookie)
    assert values(request, "authorization") == []
    assert values(request, "cookie") == ["theme=dark"]
    usual = [HOST, (b"sec-websocket-protocol", f"wsauth.v1, {secret}, chat".encode())]
    asked = read(usual, b"", ["wsauth.v1", secret, "chat"], policy(), private=True)
    ticketed = read([HOST], b"a=1&ticket=t1&b=2", [], policy(), private=True)
    known: dict[str, Any] = {
        "path": "/ws",
        "key": KEY,
        "identity": ALICE,
        "permissions": RIGHTS,
        "client": MALLORY,
        "scheme": "https",
        "host": "a",
    }
    assert values(read_request(head(PLAIN, asked, **known)), "sec-websocket-protocol") == ["chat"]
    assert read_request(head(PLAIN, ticketed, **known)).target == b"/ws?a=1&b=2"


def test_nobody_has_no_subject() -> None:
    """An anonymous connection is told of by its roles alone."""
    request = sent(identity=NOBODY)
    assert values(request, "x-wsauth-roles") == ["anonymous"]
    assert values(request, "x-wsauth-subject") == values(request, "x-wsauth-issuer") == []


def test_the_subprotocols_may_be_fewer() -> None:
    """Where we have answered before the upstream it is offered what we answered."""
    assert values(sent(offers=["chat", "chess"], offered=["chess"]), "sec-websocket-protocol") == ["chess"]
    assert values(sent(offers=["chat"], offered=[]), "sec-websocket-protocol") == []


# Host and path.


def test_the_host_is_the_clients_or_the_routes() -> None:
    """What the client asked for is told in both cases."""
    kept, changed = sent(), sent(forwarding=Forwarding(host="inner.example:9000"))
    assert (values(kept, "host"), values(kept, "x-forwarded-host")) == (["chat.example.com"], ["chat.example.com"])
    assert values(changed, "host") == ["inner.example:9000"]
    assert values(changed, "x-forwarded-host") == ["chat.example.com"]


@pytest.mark.parametrize(
    ("route", "to", "path", "found"),
    [
        ("/ws", "", "/ws", "/ws"),
        ("/ws", "/", "/ws", "/"),
        ("/ws", "/inner/socket", "/ws", "/inner/socket"),
        ("/p/*", "", "/p/a/b", "/p/a/b"),
        ("/p/*", "/x/", "/p/a/b", "/x/a/b"),
        ("/p/*", "/x", "/p/a/b", "/x/a/b"),
        ("/p/*", "/", "/p/a/b", "/a/b"),
        ("/p/*", "/x", "/p/", "/x/"),
        ("/*", "/x", "/p/%61", "/x/p/%61"),
    ],
)
def test_the_path_takes_the_place_of_what_matched(route: str, to: str, path: str, found: str) -> None:
    """The whole of an exact route, what stands before the star of a prefix; the rest goes on as it was sent."""
    asked = handshake(rules=Policy(path=route, origins=policy().origins), query=b"q=%20")
    assert target(Forwarding(path=to), asked, path) == found + "?q=%20"


@pytest.mark.parametrize("host", ["a b", "a/b", "http://a", "a:b", "a\r\nX: 1", "user@a"])
def test_a_host_that_is_none_is_named(host: str) -> None:
    """It would be written into every head."""
    with pytest.raises(ConfigurationError, match="upstream_host"):
        Forwarding(host=host)


@pytest.mark.parametrize("path", ["a", "/a b", "/a?b", "/a#b", "/a\r\n", "/\xe4", "/a*"])
def test_a_path_that_is_none_is_named(path: str) -> None:
    """So would this."""
    with pytest.raises(ConfigurationError, match="upstream_path"):
        Forwarding(path=path)


# Claims.


def with_claims(claims: dict[str, Any], **forwarded: str) -> Request:
    """Return what goes upstream for somebody with these claims."""
    who = Identity("alice", issuer="i", claims=claims)
    lies = [(name.lower().encode(), b"mallory") for name in forwarded.values()]
    return sent(*lies, identity=who, forwarding=Forwarding(forward_claims=forwarded))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("alice@example.com", "alice@example.com"),
        ("", ""),
        ("Zoë, 100%\r\nX: 1", "Zo%C3%AB%2C%20100%25%0D%0AX:%201"),
        (42, "42"),
        (-1.5, "-1.5"),
        (True, "true"),
        (False, "false"),
        (["a", "b,c"], "a,b%2Cc"),
        ([], ""),
    ],
)
def test_a_claim_becomes_a_header(value: Any, written: str) -> None:
    """Text, number, truth and a list of texts, encoded as everything else; the client's own is gone."""
    assert values(with_claims({"claim": value}, claim="X-Claim"), "x-claim") == [written]


@pytest.mark.parametrize("claims", [{}, {"claim": None}, {"claim": {"a": 1}}, {"claim": ["a", 1]}, {"other": "a"}])
def test_a_claim_that_is_not_there_has_no_header(claims: dict[str, Any]) -> None:
    """Nor has one of another shape, and the client's own is gone all the same."""
    assert values(with_claims(claims, claim="X_Claim"), "x-claim") == []


def test_a_claim_may_stand_deeper() -> None:
    """By a dotted path, as `roles_claim`."""
    request = with_claims({"address": {"country": "CH"}}, **{"address.country": "X-Country"})
    assert values(request, "x-country") == ["CH"]


@pytest.mark.parametrize("value", ["x" * 4_097, "ä" * 700, ["x" * 100] * 41, 10**5_000], ids=range(4))
def test_a_claim_that_is_too_long_is_left_out_and_said_to_be(value: Any) -> None:
    """Beside what is too long of the identity itself."""
    who = Identity("alice", issuer="i", roles=["r" * 100] * 50, claims={"claim": value, "other": "1"})
    request = sent(identity=who, forwarding=Forwarding(forward_claims={"claim": "X-Claim", "other": "X-Other"}))
    assert values(request, "x-claim") == values(request, "x-wsauth-roles") == []
    assert values(request, "x-other") == ["1"]
    assert values(request, "x-wsauth-truncated") == ["X-Wsauth-Roles,X-Claim"]


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "connection",
        "Content_Length",
        "Sec-WebSocket-Key",
        "X-Wsauth-Subject",
        "x_wsauth_truncated",
        "X-Wsauth-Assertion",
        "X-Forwarded-For",
        "X-Claim: 1",
        "X Claim",
        "",
        "X-Cl\xe4im",
    ],
)
def test_a_claim_cannot_become_what_we_say_ourselves(name: str) -> None:
    """Such a header would be there twice, or break the head."""
    with pytest.raises(ConfigurationError, match="forward_claims"):
        Forwarding(forward_claims={"claim": name})


def test_two_claims_do_not_become_one_header() -> None:
    """Whatever their spelling."""
    with pytest.raises(ConfigurationError, match="same header"):
        Forwarding(forward_claims={"a": "X-Claim", "b": "x_claim"})


@pytest.mark.parametrize("name", ["", "*", "X User", "X-User:", "X-\xdcser"])
def test_what_is_no_header_cannot_be_removed(name: str) -> None:
    """It would protect from nothing."""
    with pytest.raises(ConfigurationError, match="remove_headers"):
        Forwarding(remove_headers=(name,))


def test_what_the_identity_says_can_be_read_back() -> None:
    """Percent-decoding gives it again, and no subject ends a line."""
    who = Identity("a\r\nX-Wsauth-Roles: admin", issuer="zoë %")
    request = sent(identity=who)
    assert unquote(values(request, "x-wsauth-subject")[0]) == who.subject
    assert unquote(values(request, "x-wsauth-issuer")[0]) == who.issuer
    assert values(request, "x-wsauth-roles") == [""]


# Compression.


def offers(value: bytes = b"permessage-deflate; client_max_window_bits") -> Offers:
    """Return what a browser offers."""
    return read_offers([(b"sec-websocket-extensions", value)])


def test_an_extension_is_offered_where_it_may_be() -> None:
    """Only what was read of the client's offer."""
    theirs = (b"sec-websocket-extensions", b"x-other, permessage-deflate; client_max_window_bits")
    passed = values(sent(theirs, extensions=offers(theirs[1])), "sec-websocket-extensions")
    assert passed == ["permessage-deflate; client_max_window_bits"]
    assert values(sent(theirs, extensions=NONE), "sec-websocket-extensions") == []


def test_messages_that_we_look_at_are_not_compressed() -> None:
    """Only where the route says so, and for a client that brought its credentials and does not speak wsauth."""
    allowed = Forwarding(compression=True)
    assert may_compress(allowed, handshake())
    assert not may_compress(PLAIN, handshake())
    assert not may_compress(allowed, handshake(offers=["wsauth.v1"]))
    assert not may_compress(allowed, read([HOST], b"", [], policy(), private=True))
    assert not may_compress(allowed, read([HOST], b"", [], policy(anonymous=True), private=True))
