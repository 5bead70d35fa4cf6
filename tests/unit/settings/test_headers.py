"""Names of headers: which the client's are removed, and in which claims go on."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.settings.reading import Folder
from wsauth.core.forwarding import Forwarding
from wsauth.settings.declarations import toml

ROUTE = '[[routes]]\nupstream = "ws://127.0.0.1:9000"\n'
OURS = (
    "X-Wsauth-Issuer",
    "X-Wsauth-Subject",
    "X-Wsauth-Session",
    "X-Wsauth-Roles",
    "X-Wsauth-Permissions",
    "X-Wsauth-Truncated",
    "X-Wsauth-Assertion",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Email",
    "X-Real-IP",
    "Forwarded",
    "x_wsauth_SUBJECT",
)
HANDSHAKE = (
    "Host",
    "Connection",
    "Upgrade",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Content-Length",
    "Content-Type",
    "Content-Encoding",
    "Expect",
    "HTTP2-Settings",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "sec_websocket_extensions",
    "Origin",
    "Cookie",
    "Authorization",
)


def test_headers_that_are_removed(folder: Folder) -> None:
    """The list that is written stands in place of the default."""
    assert folder.load(ROUTE).routes[0].remove_headers == ("X-User", "X-Forwarded-User", "Remote-User")
    assert folder.load(f'{ROUTE}remove_headers = ["X_Team", "Cookie"]').routes[0].remove_headers == ("X_Team", "Cookie")
    assert folder.load(f'{ROUTE}remove_headers = ["X-Auth-*"]').routes[0].remove_headers == ("X-Auth-*",)
    assert folder.load(f"{ROUTE}remove_headers = []").routes[0].remove_headers == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "'' is not a header's name; write X-User"),
        ("X User", "'X User' is not a header's name; write X-User"),
        ("X-User:", "'X-User:' is not a header's name; write X-User"),
        ("X-Usér", "'X-Usér' is not a header's name; write X-User"),
        ("*", "'*' is not how names begin; write X-Auth-*"),
        ("*-User", "'*-User' is not how names begin; write X-Auth-*"),
        ("X-*-*", "'X-*-*' is not how names begin; write X-Auth-*"),
        ("X User*", "'X User' is not a header's name; write X-User"),
        ("Host*", "'Host*' is needed to connect and cannot be removed; write other names"),
        ("HOST", "'HOST' is needed to connect and cannot be removed; write other names"),
        ("Sec_WebSocket-Key", "'Sec_WebSocket-Key' is needed to connect and cannot be removed; write other names"),
    ],
)
def test_names_that_cannot_be_removed(folder: Folder, name: str, said: str) -> None:
    """What is no name would never match, and nobody may believe that it does."""
    line = folder.refused(f"{ROUTE}remove_headers = {toml(['X-User', name])}")
    assert line == f"{folder.file}: routes[0].remove_headers[1]: {said}"


def test_claims_that_go_on(folder: Folder) -> None:
    """Each claim, or path to one, has a header; names of our own family are free but for those that we use."""
    written = '{email = "X-Wsauth-Email", "address.country" = "X-Country", team = "Team"}'
    assert folder.load(ROUTE).routes[0].forward_claims == {}
    assert folder.load(f"{ROUTE}forward_claims = {written}").routes[0].forward_claims == {
        "email": "X-Wsauth-Email",
        "address.country": "X-Country",
        "team": "Team",
    }


@pytest.mark.parametrize("name", OURS)
def test_a_claim_cannot_speak_for_us(folder: Folder, name: str) -> None:
    """Whoever wrote a token does not write who they are in our words (ATTACKS GW-01, GW-02)."""
    line = folder.refused(f"{ROUTE}forward_claims = {{email = {toml(name)}}}")
    assert line == (
        f"{folder.file}: routes[0].forward_claims.email: {name!r} is what wsauth itself says; write another name, such "
        "as X-Wsauth-Email"
    )


@pytest.mark.parametrize("name", HANDSHAKE)
def test_a_claim_cannot_be_part_of_the_handshake(folder: Folder, name: str) -> None:
    """What says how to connect, or with which credentials, is none of a token's business."""
    line = folder.refused(f"{ROUTE}forward_claims = {{email = {toml(name)}}}")
    assert line == (
        f"{folder.file}: routes[0].forward_claims.email: {name!r} belongs to the handshake; write another name, such "
        "as X-Wsauth-Email"
    )


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ('{email = "X Mail"}', ".email: 'X Mail' is not a header's name; write X-User"),
        ('{email = ""}', ".email: '' is not a header's name; write X-User"),
        ('{email = "X-*"}', ".email: 'X-*' is not a header's name; write X-User"),
        ('{"" = "X-Mail"}', ' has a claim without a name: write email = "X-Wsauth-Email"'),
        ('{email = "X-Mail", mail = "x_mail"}', ".mail: 'x_mail' is the header of 'email' too; write another name"),
        ("{email = 1}", '.email = 1 is not a text: write forward_claims = {email = "X-Wsauth-Email"}'),
        ('{address.country = "X-C"}', '.address is not a text: write forward_claims = {email = "X-Wsauth-Email"}'),
        ('"email"', ' = "email" is not a table: write forward_claims = {email = "X-Wsauth-Email"}'),
    ],
)
def test_claims_that_cannot_be_meant(folder: Folder, claims: str, said: str) -> None:
    """The line names the claim."""
    assert folder.refused(f"{ROUTE}forward_claims = {claims}") == f"{folder.file}: routes[0].forward_claims{said}"


TOKENS = st.text("!#$%&'*+-.^_`|~ :xX8", min_size=1, max_size=12)
NAMES = st.sampled_from((*OURS, *HANDSHAKE)) | TOKENS | TOKENS.map("X-Wsauth-{}".format)
REREAD = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
"""Every example writes the file anew."""


@REREAD
@given(removed=NAMES, claimed=NAMES, path=st.text("/ab*?#%é ", max_size=4))
def test_the_gateway_takes_what_the_settings_take(folder: Folder, removed: str, claimed: str, path: str) -> None:
    """What is good here is never refused later, where nobody could name the file and the key."""
    toml_lines = f"remove_headers = [{toml(removed)}]", f"forward_claims = {{a = {toml(claimed)}}}"
    for line in (*toml_lines, f"upstream_path = {toml(path)}"):
        if not folder.outcome(f"{ROUTE}{line}"):
            route = folder.load(f"{ROUTE}{line}").routes[0]
            taken = Forwarding(
                remove_headers=route.remove_headers, forward_claims=route.forward_claims, path=route.upstream_path
            )
            assert taken.remove_headers == route.remove_headers


def test_the_variable_that_is_wrong_is_named(folder: Folder) -> None:
    """Also where it sets only one entry, and the file the others."""
    toml = f'{ROUTE}forward_claims = {{mail = "X-Mail"}}'
    for value, said in (("Host", "'Host' belongs"), ("X-Mail", "'X-Mail' is the header of 'mail' too")):
        line = folder.refused(toml, {"WSAUTH__ROUTES__0__FORWARD_CLAIMS__EMAIL": value})
        assert line.startswith(f"WSAUTH__ROUTES__0__FORWARD_CLAIMS__EMAIL: routes[0].forward_claims.email: {said}")
    line = folder.refused(ROUTE, {"WSAUTH__ROUTES__0__REMOVE_HEADERS__0": "a b"})
    assert line.startswith("WSAUTH__ROUTES__0__REMOVE_HEADERS__0: routes[0].remove_headers[0]: 'a b' is not")
