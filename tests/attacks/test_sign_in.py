"""Attacks on signing in with a provider, each by its id in ATTACKS.md, at the real server; the provider is scripted."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.issuing import Provider, eventually, provider, public_jwk, response, signed
from tests.leaks import secret
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import called

PAGE = "https://app.example"
SECRET = secret("the secret of our client", "our client_secret at a provider")
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
CONFIG = f"""
[server]
origins = ["{PAGE}"]

[[routes]]
path = "/ws"
upstream = "echo"

[roles]
member = ["chat:read"]
"""
ISSUER = """
[[issuers]]
name = "{name}"
issuer = "{url}"
audience = "chat"
client_id = "web"
client_secret = "{secret}"
roles = {{staff = "member"}}
"""


@dataclass
class Way:
    """Be what the browser takes to the provider."""

    state: str
    nonce: str
    challenge: str


def publish(idp: Provider, **more: Any) -> None:
    """Publish a provider that can sign people in."""
    idp.publish(public_jwk("ES256", kid="k"))
    idp.answers["/.well-known/openid-configuration"] |= {
        "authorization_endpoint": f"{idp.url}/authorize",
        "token_endpoint": f"{idp.url}/token",
        "code_challenge_methods_supported": ["S256"],
        **more,
    }


@pytest.fixture
async def idp() -> AsyncGenerator[Provider]:
    """Run a provider."""
    async with provider() as found:
        publish(found)
        yield found


@pytest.fixture
async def other() -> AsyncGenerator[Provider]:
    """Run another provider."""
    async with provider() as found:
        publish(found)
        yield found


@pytest.fixture
async def at(tmp_path: Path, idp: Provider, other: Provider) -> AsyncGenerator[Serving]:
    """Run a server at which people sign in with both."""
    issuers = ISSUER.format(name="idp", url=idp.url, secret=SECRET)
    issuers += ISSUER.format(name="other", url=other.url, secret=SECRET)
    async with serving(tmp_path, config=CONFIG + issuers) as found:
        yield found


@pytest.fixture
async def browser() -> AsyncGenerator[httpx2.AsyncClient]:
    """Be a browser, as far as cookies go."""
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as found:
        yield found


async def begin(at: Serving, browser: httpx2.AsyncClient, name: str = "idp", **query: str) -> Way:
    """Begin to sign in."""
    reply = await browser.get(f"{at.http}/auth/oauth/{name}/start", params=query)
    assert reply.status_code == 303, reply.text
    sent = parse_qs(urlsplit(reply.headers["location"]).query)
    assert sent["code_challenge_method"] == ["S256"]
    return Way(sent["state"][0], sent["nonce"][0], sent["code_challenge"][0])


async def back(
    at: Serving, browser: httpx2.AsyncClient, way: Way | None, name: str = "idp", **query: str
) -> httpx2.Response:
    """Come back from the provider with a code."""
    state = {} if way is None else {"state": way.state}
    return await browser.get(f"{at.http}/auth/oauth/{name}/callback", params={"code": "c0de", **state, **query})


def id_token(idp: Provider, nonce: str | None, **changes: Any) -> str:
    """Return Alice's ID token with these changes; `None` takes one away."""
    now = int(time.time())
    said = {
        "iss": idp.url, "sub": "alice", "aud": "web", "exp": now + 300, "iat": now, "nonce": nonce, "roles": ["staff"],
    } | changes  # fmt: skip
    return signed({name: value for name, value in said.items() if value is not None}, "ES256", kid="k", typ="JWT")


def answer(idp: Provider, token: str, **more: Any) -> None:
    """Have the token endpoint answer with this ID token."""
    idp.answers["/token"] = {"access_token": "at-1", "token_type": "Bearer", "id_token": token} | more


async def by_tokens(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> dict[str, Any]:
    """Sign in as a page that fetches tokens, and return them."""
    verifier = "v" * 43
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    way = await begin(at, browser, code_challenge=challenge, code_challenge_method="S256")
    answer(idp, id_token(idp, way.nonce))
    code = parse_qs(urlsplit((await back(at, browser, way)).headers["location"]).query)["code"][0]
    url = f"{at.http}/auth/oauth/idp/token"
    tokens: dict[str, Any] = (await browser.post(url, json={"code": code, "code_verifier": verifier})).json()
    return tokens


def is_out(reply: httpx2.Response, browser: httpx2.AsyncClient) -> bool:
    """Tell whether a coming back was refused and opened nothing."""
    assert "location" not in reply.headers
    return reply.status_code == 400 and "wsauth" not in browser.cookies


async def test_the_scripted_provider_signs_people_in(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """What the attacks below break works without them, so that each fails for its own reason."""
    way = await begin(at, browser, return_to="/auth/me")
    answer(idp, id_token(idp, way.nonce))
    assert (await back(at, browser, way)).status_code == 303
    assert (await browser.get(f"{at.http}/auth/me")).json()["roles"] == ["member"]


async def test_oa_01_only_the_browser_that_began_may_end(
    at: Serving, idp: Provider, browser: httpx2.AsyncClient
) -> None:
    """OA-01: no state, a wrong, a used, another browser's or another provider's: 400, and the provider is not asked."""
    way = await begin(at, browser)
    answer(idp, id_token(idp, way.nonce))
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as mallory:
        assert is_out(await back(at, browser, None), browser)
        assert is_out(await back(at, browser, Way("x" * 43, "", "")), browser)
        assert is_out(await back(at, mallory, way), mallory)
        theirs = await begin(at, mallory)
        assert is_out(await back(at, browser, theirs), browser)
        assert is_out(await back(at, browser, way, "other"), browser)
        # A cookie that somebody put beside ours, from a sister host or over http: which of them is right?
        two = {"Cookie": f"wsauth-sign-ins={mallory.cookies['wsauth-sign-ins']}; wsauth-sign-ins=x"}
        async with httpx2.AsyncClient(trust_env=False, timeout=20, headers=two) as tossed:
            assert is_out(await back(at, tossed, theirs), tossed)
    assert "/token" not in idp.asked
    kept = browser.cookies["wsauth-sign-ins"]
    assert (await back(at, browser, way)).status_code == 303
    assert idp.asked.count("/token") == 1
    async with httpx2.AsyncClient(trust_env=False, timeout=20, headers={"Cookie": f"wsauth-sign-ins={kept}"}) as again:
        assert is_out(await back(at, again, way), again)
    assert idp.asked.count("/token") == 1


async def test_oa_01_of_many_at_once_one_is_in(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """OA-01: twenty callbacks of one state at once: one code is redeemed."""
    way = await begin(at, browser)
    answer(idp, id_token(idp, way.nonce))
    cookie = {"Cookie": f"wsauth-sign-ins={browser.cookies['wsauth-sign-ins']}"}
    async with httpx2.AsyncClient(trust_env=False, timeout=30, headers=cookie) as many:
        replies = await asyncio.gather(*(back(at, many, way) for _ in range(20)))
    assert sorted(each.status_code for each in replies) == [303] + [400] * 19
    assert idp.asked.count("/token") == 1


async def test_oa_02_the_id_token_is_of_this_sign_in(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """OA-02: no nonce, a wrong one, or the one of the sign-in before: refused."""
    before = await begin(at, browser)
    answer(idp, id_token(idp, before.nonce))
    assert (await back(at, browser, before)).status_code == 303
    browser.cookies.delete("wsauth")
    for nonce in (None, "another", "", before.nonce):
        way = await begin(at, browser)
        answer(idp, id_token(idp, nonce))
        assert is_out(await back(at, browser, way), browser), nonce


async def test_oa_03_pkce_is_always_there_and_fresh(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """OA-03: S256, 43 characters or more, another one each time, and the verifier is the challenge's."""
    ways = [await begin(at, browser) for _ in range(3)]
    assert len({way.challenge for way in ways} | {way.state for way in ways} | {way.nonce for way in ways}) == 9
    answer(idp, id_token(idp, ways[2].nonce))
    assert (await back(at, browser, ways[2])).status_code == 303
    head, body = idp.requests[idp.asked.index("/token")]
    form = parse_qs(body)
    verifier = form["code_verifier"][0]
    assert len(verifier) >= 43
    assert urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode() == ways[2].challenge
    assert form["redirect_uri"] == [f"{at.http}/auth/oauth/idp/callback"]
    assert SECRET not in head.split("\r\n")[0]


async def test_oa_03_a_provider_without_s256_signs_nobody_in(
    at: Serving, idp: Provider, browser: httpx2.AsyncClient
) -> None:
    """OA-03: one that can do "plain" only is refused, and the log says why."""
    publish(idp, code_challenge_methods_supported=["plain"])
    reply = await browser.get(f"{at.http}/auth/oauth/idp/start")
    assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
    assert "no PKCE with S256" in at.output()


ELSEWHERE = (
    "//evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example", "javascript:alert(1)", "", "x",
    "https://evil.example/", f"{PAGE}.evil.example/", f"{PAGE}@evil.example/", f"{PAGE}:99999/", f"{PAGE}:444/",
    "http://app.example/", "/a\r\nSet-Cookie: a=b", "/a b", "/\u202e", "data:text/html,x", "///evil.example",
    f"{PAGE}\\@evil.example", "https://evil.example#" + PAGE, "/" + "a" * 600, "HTTPS://APP.example/x",
)  # fmt: skip


async def test_oa_07_nobody_is_sent_elsewhere(at: Serving, browser: httpx2.AsyncClient) -> None:
    """OA-07: only paths of ours and allowed origins, exactly; everything else is refused before anything begins."""
    for url in ELSEWHERE:
        reply = await browser.get(f"{at.http}/auth/oauth/idp/start", params={"return_to": url})
        assert (reply.status_code, reply.json()["code"]) == (400, "request_invalid"), url
        assert "location" not in reply.headers
        assert not browser.cookies
    for url in ("/", "/a?b=c#d", "/%2F", f"{PAGE}", f"{PAGE}/a?b=c"):
        assert (await begin(at, browser, return_to=url)).state


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://login.example/token"},
        {"authorization_endpoint": "http://login.example/authorize"},
        {"token_endpoint": "https://user:password@login.example/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"token_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"code_challenge_methods_supported": 5},
        {"code_challenge_methods_supported": "S256"},
    ],
)
async def test_oa_09_what_a_provider_says_of_itself_is_checked(
    at: Serving, idp: Provider, browser: httpx2.AsyncClient, lie: dict[str, Any]
) -> None:
    """OA-09: another issuer, endpoints that are not https or no endpoints at all: nobody is sent there."""
    publish(idp, **lie)
    reply = await browser.get(f"{at.http}/auth/oauth/idp/start")
    assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
    assert "location" not in reply.headers


def forged(idp: Provider, nonce: str, which: str) -> str:
    """Return an ID token that is wrong in one way."""
    now = int(time.time())
    good = {"iss": idp.url, "sub": "alice", "aud": "web", "exp": now + 300, "iat": now, "nonce": nonce}
    if which == "alg none":
        return signed(good, "none", key="", kid="k")
    if which == "HS256 with our secret":
        return signed(good, "HS256", key=SECRET.ljust(32, "x"), kid="k")
    if which == "another key":
        return signed(good, "ES256", "mallory", kid="k")
    if which == "an access token":
        return signed(good, "ES256", kid="k", typ="at+jwt")
    if which == "a logout token":
        return signed(good | {"events": {LOGOUT: {}}}, "ES256", kid="k", typ="logout+jwt")
    return signed(good | WRONG[which], "ES256", kid="k", typ="JWT")


WRONG: dict[str, dict[str, Any]] = {
    "wrong aud": {"aud": "another client"},
    "an access token's audience": {"aud": "chat"},
    "many aud, no azp": {"aud": ["web", "another client"]},
    "many aud, wrong azp": {"aud": ["web", "another client"], "azp": "another client"},
    "wrong azp": {"azp": "another client"},
    "wrong iss": {"iss": "https://evil.example"},
    "expired": {"exp": 1_700_000_000},
    "of the future": {"iat": 4_000_000_000, "exp": 4_000_000_300},
    "no sub": {"sub": ""},
    "at_hash of another": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "events": {"events": {LOGOUT: {}}},
}


@pytest.mark.parametrize(
    "which",
    [
        *WRONG,
        "alg none",
        "HS256 with our secret",
        "another key",
        "an access token",
        "a logout token",
        "none",
        "no text",
    ],
)
async def test_oa_10_an_id_token_is_checked_whole(
    at: Serving, idp: Provider, browser: httpx2.AsyncClient, which: str
) -> None:
    """OA-10: each of these is refused, and nobody is in."""
    way = await begin(at, browser)
    if which == "none":
        idp.answers["/token"] = {"access_token": "at-1", "token_type": "Bearer"}
    elif which == "no text":
        idp.answers["/token"] = {"access_token": "at-1", "id_token": ["x"]}
    else:
        answer(idp, forged(idp, way.nonce, which))
    assert is_out(await back(at, browser, way), browser)


async def test_oa_10_good_ones_of_every_kind_are_taken(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """OA-10: with several audiences and our azp, with the right at_hash: what is refused is refused for itself."""
    half = urlsafe_b64encode(sha256(b"at-1").digest()[:16]).rstrip(b"=").decode()
    for changes in ({"aud": ["web", "x"], "azp": "web"}, {"at_hash": half}, {"aud": ["web"]}):
        way = await begin(at, browser)
        answer(idp, id_token(idp, way.nonce, **changes))
        assert (await back(at, browser, way)).status_code == 303, changes


async def test_mixed_up_answers_are_refused(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """RFC 9207: an answer that names another provider, or none where it must, is not redeemed."""
    way = await begin(at, browser)
    answer(idp, id_token(idp, way.nonce))
    assert is_out(await back(at, browser, way, iss="https://evil.example"), browser)
    assert "/token" not in idp.asked
    way = await begin(at, browser)
    answer(idp, id_token(idp, way.nonce))
    assert (await back(at, browser, way, iss=idp.url)).status_code == 303


async def test_an_answer_must_name_who_said_it_would(
    tmp_path: Path, idp: Provider, browser: httpx2.AsyncClient
) -> None:
    """RFC 9207: where the provider says that its answers name it, one without a name is refused."""
    publish(idp, authorization_response_iss_parameter_supported=True)
    config = CONFIG + ISSUER.format(name="idp", url=idp.url, secret=SECRET)
    async with serving(tmp_path, config=config) as at:
        way = await begin(at, browser)
        answer(idp, id_token(idp, way.nonce))
        assert is_out(await back(at, browser, way), browser)
        assert "/token" not in idp.asked


async def test_a_no_of_the_provider_is_told_without_its_words(
    at: Serving, idp: Provider, browser: httpx2.AsyncClient
) -> None:
    """What stands in the URL is anybody's text: only the code of an error is shown, and never as HTML."""
    way = await begin(at, browser)
    text = "<script>alert(1)</script> call 0123 for help"
    reply = await browser.get(
        f"{at.http}/auth/oauth/idp/callback",
        params={"state": way.state, "error": "access_denied", "error_description": text},
        headers={"Accept": "text/html"},
    )
    assert (reply.status_code, "access_denied" in reply.text) == (400, True)
    assert "0123" not in reply.text
    way = await begin(at, browser)
    reply = await browser.get(
        f"{at.http}/auth/oauth/idp/callback",
        params={"state": way.state, "error": text},
        headers={"Accept": "text/html"},
    )
    assert (reply.status_code, "<script>" in reply.text, "0123" in reply.text) == (400, False, False)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (response(b"<html>", "Content-Type: text/html"), 503),
        (response(b"", status="500 Oops"), 503),
        (response(b"", "Location: https://evil.example/", status="307 Go on"), 503),
        (response(b'{"id_token": "' + b"x" * 70_000 + b'"}'), 503),
        (response(b'{"error": "invalid_client"}', status="401 No"), 503),
        (response(b'{"error": "invalid_grant"}', status="400 No"), 400),
        pytest.param(response(b'{"id_token": "' + b"x" * 10_000_000 + b'"}'), 503, id="10 MB"),
        (response(b"[]"), 503),
        (response('{"access_token": "\u00fc", "id_token": 5}'.encode()), 400),
        (response(b'{"access_token": 5, "id_token": true, "expires_in": "x", "refresh_token": {}}'), 400),
    ],
)
async def test_what_a_broken_provider_answers_lets_nobody_in(
    at: Serving, idp: Provider, browser: httpx2.AsyncClient, said: bytes, status: int
) -> None:
    """Garbage, failures, redirects and floods of the token endpoint: each is refused, and the way is used up."""
    way = await begin(at, browser)
    idp.answers["/token"] = said
    reply = await back(at, browser, way)
    assert reply.status_code == status
    assert "wsauth" not in browser.cookies
    answer(idp, id_token(idp, way.nonce))
    assert is_out(await back(at, browser, way), browser)


async def test_claims_of_somebody_else_are_not_hers(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """OpenID Connect Core section 5.3.2: userinfo with another sub than the ID token's is refused."""
    publish(idp, userinfo_endpoint=f"{idp.url}/me")
    way = await begin(at, browser)
    idp.answers["/me"] = {"sub": "mallory", "roles": ["staff"]}
    answer(idp, id_token(idp, way.nonce, roles=None))
    assert is_out(await back(at, browser, way), browser)
    way = await begin(at, browser)
    idp.answers["/me"] = {"sub": "alice", "roles": ["staff"]}
    answer(idp, id_token(idp, way.nonce, roles=None))
    assert (await back(at, browser, way)).status_code == 303
    assert (await browser.get(f"{at.http}/auth/me")).json()["roles"] == ["member"]


async def test_what_a_page_makes_its_visitors_do_blocks_nobody(
    tmp_path: Path, idp: Provider, browser: httpx2.AsyncClient
) -> None:
    """Callbacks that nobody began, from a page full of images: they are no guesses, and bob's login is as good."""
    strict = '[limits]\nexempt = []\n[monitoring]\nblock_after = "20/10m"\n'
    config = CONFIG + strict + ISSUER.format(name="idp", url=idp.url, secret=SECRET)
    async with serving(tmp_path, config=config, environ={"WSAUTH__LIMITS__EXEMPT": ""}) as at:
        password = await at.add_user("bob", "a long walk on a short pier")
        for number in range(80):
            reply = await back(at, browser, Way(f"{number}".ljust(43, "x"), "", ""))
            assert (reply.status_code, reply.json()["code"]) == (400, "request_invalid")
        assert (await at.login("bob", password))["subject"] == "bob"


async def test_whoever_comes_by_another_name_of_this_machine_is_sent_to_the_right_one(
    at: Serving, browser: httpx2.AsyncClient
) -> None:
    """`localhost` and `127.0.0.1` have different cookies, and the callback goes to one of them."""
    local = at.http.replace("127.0.0.1", "localhost")
    reply = await browser.get(f"{local}/auth/oauth/idp/start", params={"return_to": "/a"})
    assert reply.headers["location"] == f"{at.http}/auth/oauth/idp/start?return_to=%2Fa"
    assert not browser.cookies


async def test_se_27_nobody_gets_a_session_that_they_did_not_ask_for(at: Serving, browser: httpx2.AsyncClient) -> None:
    """SE-27: another site's page, frame or image begins nothing; whoever clicked, typed it or is here goes on."""
    start = f"{at.http}/auth/oauth/idp/start?return_to=/a"

    async def ask(**fetch: str) -> httpx2.Response:
        headers = {f"Sec-Fetch-{name.title()}": value for name, value in fetch.items()}
        return await browser.get(start, headers=headers)

    unasked = await ask(site="cross-site", mode="navigate", dest="document")
    assert (unasked.status_code, unasked.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'href="/auth/oauth/idp/start?return_to=/a"' in unasked.text
    assert "frame-ancestors 'none'" in unasked.headers["content-security-policy"]
    for dest in ("iframe", "image", "empty", "script"):
        reply = await ask(site="cross-site", dest=dest, user="?1")
        assert (reply.status_code, reply.json()["code"]) == (403, "csrf_failed")
    assert not browser.cookies
    for site, user in (("cross-site", "?1"), ("same-origin", ""), ("same-site", ""), ("none", "?1")):
        reply = await ask(site=site, mode="navigate", dest="document", user=user)
        assert reply.status_code == 303, (site, user)


async def test_a_stronger_login_can_be_asked_for(at: Serving, browser: httpx2.AsyncClient) -> None:
    """`max_age` and `acr_values` reach the provider, and nothing else of the query does."""
    start = f"{at.http}/auth/oauth/idp/start"
    reply = await browser.get(start, params={"max_age": "0", "acr_values": "2 3", "prompt": "none", "scope": "all"})
    sent = parse_qs(urlsplit(reply.headers["location"]).query)
    assert (sent["max_age"], sent["acr_values"], "prompt" in sent) == (["0"], ["2 3"], False)
    assert sent["scope"] == ["openid profile email"]
    for wrong in (
        {"max_age": "-1"},
        {"max_age": "1e9"},
        {"max_age": "soon"},
        {"max_age": "\u0663"},
        {"acr_values": "x" * 300},
    ):
        assert (await browser.get(start, params=wrong)).status_code == 400


async def test_a_subject_of_any_length_is_no_subject(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """OpenID Connect Core section 2: 255 characters; more would not fit into tickets and headers."""
    way = await begin(at, browser)
    answer(idp, id_token(idp, way.nonce, sub="a" * 256))
    assert is_out(await back(at, browser, way), browser)
    way = await begin(at, browser)
    answer(idp, id_token(idp, way.nonce, sub="a" * 255))
    assert (await back(at, browser, way)).status_code == 303


async def test_a_token_of_ours_is_revoked_by_its_id(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """We have issued it, whoever says who it is: issuer "wsauth" and its jti end it, and the session goes on."""
    admin = await at.add_user("root", "a mountain of old umbrellas", grants=["wsauth:admin"])
    root = (await at.login("root", admin))["access_token"]
    tokens = await by_tokens(at, idp, browser)
    claims = json.loads(urlsafe_b64decode(tokens["access_token"].split(".")[1] + "=="))
    body = {"issuer": "wsauth", "token_id": claims["jti"]}
    done = await called("POST", f"{at.admin}/admin/api/revocations", root, body)
    assert done.status_code == 200, done.text
    after = await called("GET", f"{at.http}/auth/me", tokens["access_token"], None)
    assert (after.status_code, after.json()["code"]) == (401, "token_revoked")
    more = await browser.post(f"{at.http}/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert more.status_code == 200


async def test_oa_25_a_log_out_while_she_signs_in(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """OA-25: a login that is older than a log-out told meanwhile opens nothing; a newer login does."""
    now = int(time.time())

    async def tell(number: int, **named: Any) -> None:
        said = {"iss": idp.url, "aud": "web", "iat": now, "exp": now + 60, "jti": f"l{number}", "events": {LOGOUT: {}}}
        token = signed(said | named, "ES256", kid="k", typ="logout+jwt")
        url = f"{at.http}/auth/oauth/idp/backchannel-logout"
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
            assert (await http.post(url, data={"logout_token": token})).status_code == 200

    for number, named in enumerate(({"sub": "alice"}, {"sid": "s-1"})):
        way = await begin(at, browser)
        idp.gates["/token"] = asyncio.Event()
        answer(idp, id_token(idp, way.nonce, iat=now, sid="s-1"))
        before = idp.asked.count("/token")
        coming = asyncio.ensure_future(back(at, browser, way))
        await eventually(lambda before=before: idp.asked.count("/token") > before)  # type: ignore[misc]  # bound now
        await tell(number, **named)
        idp.gates.pop("/token").set()
        reply = await coming
        assert (reply.status_code, reply.json()["code"]) == (401, "session_revoked")
        assert "wsauth" not in browser.cookies
    way = await begin(at, browser)
    answer(idp, id_token(idp, way.nonce, iat=now + 1, sid="s-2"))
    assert (await back(at, browser, way)).status_code == 303
    await tell(7, sub="alice")  # of before she came back
    await tell(8, sid="s-1")
    assert (await browser.get(f"{at.http}/auth/me")).json()["subject"] == "alice"
    await tell(9, sid="s-2")
    assert (await browser.get(f"{at.http}/auth/me")).status_code == 401


async def test_oa_29_an_equal_subject_elsewhere_is_somebody_else(
    at: Serving, idp: Provider, other: Provider, browser: httpx2.AsyncClient
) -> None:
    """OA-29: one name and one e-mail address at two providers: two accounts, and none is our user of that name."""
    password = await at.add_user("alice", "four white rabbits and a watch")
    assert (await at.login("alice", password))["issuer"] == "wsauth"
    found = []
    for name, which in (("idp", idp), ("other", other)):
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as one:
            way = await begin(at, one, name)
            answer(which, id_token(which, way.nonce, email="alice@app.example", email_verified=True))
            assert (await back(at, one, way, name)).status_code == 303
            found.append((await one.get(f"{at.http}/auth/me")).json())
    assert [each["issuer"] for each in found] == [idp.url, other.url]
    assert [each["subject"] for each in found] == ["alice", "alice"]
    listed = (await at.command("sessions", "list", "--subject", "alice", "--issuer", other.url, "--json")).json()
    assert [each["id"] for each in listed] == [found[1]["session_id"]]


async def test_oa_31_only_codes_are_redeemed(at: Serving, browser: httpx2.AsyncClient) -> None:
    """OA-31: other grants, the implicit way and secrets in the URL are not there."""
    url, good = f"{at.http}/auth/oauth/idp/token", {"code": "x", "code_verifier": "x" * 43}
    for extra in ({"grant_type": "password"}, {"grant_type": "client_credentials"}, {"client_secret": "x"}):
        reply = await browser.post(url, json=good | extra)
        assert (reply.status_code, reply.json()["code"]) == (400, "request_invalid"), extra
    assert (await browser.get(url, params=good)).status_code == 405
    assert (await browser.post(url, data=good)).status_code == 415
    reply = await browser.get(f"{at.http}/auth/oauth/idp/callback", params={"access_token": "x", "state": "x"})
    assert reply.status_code == 400


async def test_oa_33_nobody_is_redirected_with_a_body(at: Serving, idp: Provider, browser: httpx2.AsyncClient) -> None:
    """OA-33: redirects are 303, and no POST is answered by one."""
    way = await begin(at, browser)
    answer(idp, id_token(idp, way.nonce))
    assert (await back(at, browser, way)).status_code == 303
    for path in ("/auth/oauth/idp/start", "/auth/oauth/idp/callback"):
        assert (await browser.post(f"{at.http}{path}", headers={"Origin": PAGE})).status_code == 405
    password = await at.add_user("bob", "a long walk on a short pier")
    for form in ({"username": "bob", "password": password}, {"username": "bob", "password": "no"}):
        assert "location" not in (await browser.post(f"{at.http}/auth/login", json=form)).headers


async def test_oa_34_a_client_is_no_user(at: Serving, idp: Provider) -> None:
    """OA-34: a token that a client got for itself, and whose sub is a user's, is not that user."""
    now = int(time.time())
    said = {"iss": idp.url, "aud": "chat", "iat": now, "exp": now + 60, "sub": "alice"}
    hers = signed(said | {"client_id": "web"}, "ES256", kid="k", typ="at+jwt")
    assert (await called("GET", f"{at.http}/auth/me", hers, None)).json()["subject"] == "alice"
    for name in ("client_id", "azp", "cid"):
        its = signed(said | {name: "alice"}, "ES256", kid="k", typ="at+jwt")
        assert (await called("GET", f"{at.http}/auth/me", its, None)).json()["subject"] == "client:alice"


async def test_a_token_of_ours_is_not_what_it_says_elsewhere(
    at: Serving, idp: Provider, browser: httpx2.AsyncClient
) -> None:
    """OA-29: the `sub` of an access token that we sign is no user's of ours where somebody else signed in."""
    tokens = await by_tokens(at, idp, browser)
    middle = tokens["access_token"].split(".")[1]
    claims = json.loads(urlsafe_b64decode(middle + "=="))
    assert (claims["idp"], claims["idp_sub"]) == (idp.url, "alice")
    assert claims["sub"].startswith("account:")
    assert len(claims["sub"]) > 64  # longer than any username
