"""ATTACKS.md, group "Cookies and CSRF", at the real server behind a proxy, with TLS, and on plain loopback; by row."""

import asyncio
import json
import ssl
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.attacks.plane import (
    EVIL,
    ORIGIN,
    PASSWORD,
    PROXIED,
    Page,
    Plane,
    bearer,
    cookie_of,
    explained,
    nobody,
    noted,
    plane,
    quiet,
    refused,
    said,
    serves_the_next,
    turned_away,
)
from tests.attacks.wire import Answer, request, wire
from tests.leaks import secret

OWN = "https://ws.example.com"
BEHIND = f"""
[server]
public_url = "{OWN}"
origins = ["{ORIGIN}"]
trusted_proxies = ["127.0.0.1"]
drain_timeout = "0s"
"""
PLAIN = f"""
[server]
origins = ["{ORIGIN}"]
drain_timeout = "0s"

[login]
form = true
"""
TLS = f"""
[server]
origins = ["{ORIGIN}"]
tls_certificate = "server.pem"
tls_key = "server.key"
drain_timeout = "0s"
"""
FORM = "application/x-www-form-urlencoded"
LOOKALIKES = (
    "null",
    EVIL,
    "http://app.example.com",
    "https://app.example.com.evil.example",
    "https://evilapp.example.com",
    "https://x.app.example.com",
    "https://example.com",
    "https://app.example.com:8443",
    "https://app.example.com/",
    "https://app.example.com@evil.example",
    "*",
)


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Plane]:
    """Run a server behind a proxy that ends TLS."""
    async with plane(tmp_path_factory.mktemp("behind"), BEHIND, headers=PROXIED) as server:
        yield server


@pytest.fixture(scope="module")
async def running_plain(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Plane]:
    """Run a server on plain loopback, which also takes the login form."""
    async with plane(tmp_path_factory.mktemp("plain"), PLAIN) as server:
        yield server


@pytest.fixture(scope="module")
async def running_tls(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Plane]:
    """Run a server that ends TLS itself."""
    folder = tmp_path_factory.mktemp("tls")
    certify(folder)
    trusting = ssl.create_default_context(cafile=str(folder / "server.pem"))
    async with plane(folder, TLS, tls=trusting) as server:
        yield server


@pytest.fixture
async def target(running: Plane) -> AsyncGenerator[Plane]:
    """Lend the server behind a proxy, and see afterwards that it serves the next client."""
    yield running
    await serves_the_next(running)


@pytest.fixture
async def plain(running_plain: Plane) -> AsyncGenerator[Plane]:
    """Lend the server on plain loopback, and see afterwards that it serves the next client."""
    yield running_plain
    await serves_the_next(running_plain)


@pytest.fixture
async def tls(running_tls: Plane) -> AsyncGenerator[Plane]:
    """Lend the server with TLS, and see afterwards that it serves the next client."""
    yield running_tls
    await serves_the_next(running_tls)


def certify(folder: Path) -> None:
    """Write a certificate for 127.0.0.1 that signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    file = folder / "server.key"
    file.touch(0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


async def raw(server: Plane, *lines: str, path: str = "/ws") -> Answer:
    """Return the answer to a handshake of exactly these header lines."""
    sent = [f"{name}: {value}" for name, value in server.headers.items()]
    async with wire(server.port, request(path, *sent, *lines)) as found:
        return await found.answer()


def subject(reply: httpx2.Response) -> str:
    """Return who the server says somebody is."""
    assert reply.status_code == 200, reply.text
    return str(reply.json()["subject"])


async def lives(page: Page) -> None:
    """See that the login of a page is as good as before."""
    assert subject(await page.plane.http.get("/auth/me", headers=page.jar)) == "alice"


# The cookie.


async def test_ck_01_the_cookie_has_every_attribute(target: Plane, tls: Plane) -> None:
    """Where browsers come by https the cookie is bound to host, path and https, and no script reads it."""
    for server in (target, tls):
        [line, device] = (await server.page("alice")).reply.headers.get_list("set-cookie")
        assert device.startswith("__Host-wsauth-device=")
        assert device.endswith("; Path=/; Max-Age=15552000; HttpOnly; SameSite=Lax; Secure")
        pair, *attributes = line.split("; ")
        assert pair.startswith("__Host-wsauth=")
        named = {each.partition("=")[0].lower(): each.partition("=")[2] for each in attributes}
        assert {"secure", "httponly"} <= set(named)
        assert (named["path"], named["samesite"]) == ("/", "Lax")
        assert "domain" not in named
        assert len(line) < 4096


async def test_ck_01_without_secure_only_on_plain_loopback(plain: Plane) -> None:
    """Where nobody can listen the cookie has a name of its own, and all other attributes."""
    [line, device] = (await plain.page("alice")).reply.headers.get_list("set-cookie")
    assert device.startswith("wsauth-device=")
    assert line.startswith("wsauth=")
    assert "HttpOnly" in line
    assert "SameSite=Lax" in line
    assert "Secure" not in line


async def test_ck_02_two_session_cookies_are_none(target: Plane) -> None:
    """A cookie that Mallory tossed beside Alice's, in any order and on lines of their own, is refused."""
    alice, mallory = await target.page("alice"), await target.page("mallory")
    name = target.cookie
    for first, second in ((alice, mallory), (mallory, alice), (alice, alice)):
        both = f"{name}={first.cookie}; {name}={second.cookie}"
        jar = {"Origin": ORIGIN, "Cookie": both}
        await refused(target, await target.http.get("/auth/me", headers=jar), 400, "request_invalid")
        answer = await raw(target, f"Origin: {ORIGIN}", f"Cookie: {both}")
        assert (answer.status, answer.code) == (400, "request_invalid")
        await explained(target, json.loads(answer.body)["id"])
        lines = [f"Cookie: {name}={first.cookie}", f"Cookie: {name}={second.cookie}"]
        answer = await raw(target, f"Origin: {ORIGIN}", *lines)
        assert (answer.status, answer.code) == (400, "request_invalid")
        apart = [("Origin", ORIGIN), ("Cookie", f"{name}={first.cookie}"), ("Cookie", f"{name}={second.cookie}")]
        await refused(target, await target.http.get("/auth/me", headers=apart), 400, "request_invalid")
        change = {**jar, "X-CSRF-Token": first.csrf_token}
        await refused(target, await target.http.post("/auth/logout", headers=change), 400, "request_invalid")
    await lives(alice)


@pytest.mark.parametrize(
    "name",
    ["sid=", "wsauth=", "__host-wsauth=", "__HOST-wsauth=", "__Host-wsauth =", "=__Host-wsauth=", '"__Host-wsauth"='],
)
async def test_ck_03_a_lookalike_is_another_cookie(target: Plane, name: str) -> None:
    """A cookie of a similar name, which any sibling host could set, is nothing, also beside the real one."""
    alice, mallory = await target.page("alice"), await target.page("mallory")
    jar = {"Cookie": f"{name}{mallory.cookie}"}
    await refused(target, await target.http.get("/auth/me", headers=jar), 401, "credentials_missing")
    await nobody(target.open(headers={"Origin": ORIGIN, **jar}))
    for both in (f"{name}{mallory.cookie}; {target.cookie}={alice.cookie}", f"{target.cookie}={alice.cookie}; {name}x"):
        assert subject(await target.http.get("/auth/me", headers={"Cookie": both})) == "alice"


async def test_ck_03_on_plain_loopback_the_secure_name_is_nothing(plain: Plane) -> None:
    """Each server takes the one name that it sets."""
    page = await plain.page("alice")
    jar = {"Cookie": f"__Host-wsauth={page.cookie}"}
    await refused(plain, await plain.http.get("/auth/me", headers=jar), 401, "credentials_missing")
    await nobody(plain.open(headers={"Origin": ORIGIN, **jar}))


async def test_ck_no_page_of_another_site_opens_a_socket_with_the_cookie(target: Plane) -> None:
    """Cross-site WebSocket hijacking is refused by Origin, whatever the flags of the cookie are."""
    page = await target.page("alice")
    for origin in LOOKALIKES:
        opening = target.open(headers={**page.jar, "Origin": origin})
        assert await turned_away(target, opening) in ("origin_denied", "request_invalid")
    assert await turned_away(target, target.open(headers=page.jar)) == "origin_denied"
    contradicted = {**page.jar, "Origin": OWN, "Sec-Fetch-Site": "cross-site", "Host": "ws.example.com"}
    assert (await raw(target, *(f"{name}: {value}" for name, value in contradicted.items()))).code == "origin_denied"
    async with page.open() as socket:
        await quiet(socket)


# Changes that another site causes.


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        pytest.param({"Origin": EVIL, "Content-Type": FORM}, 403, "origin_denied", id="form"),
        pytest.param({"Origin": "null", "Content-Type": FORM}, 403, "origin_denied", id="form of a sandbox"),
        pytest.param({"Origin": EVIL, "Content-Type": "application/json"}, 403, "origin_denied", id="json"),
        pytest.param({"Sec-Fetch-Site": "cross-site", "Content-Type": FORM}, 403, "csrf_failed", id="metadata"),
        pytest.param({"Sec-Fetch-Site": "same-site", "Content-Type": "text/plain"}, 403, "csrf_failed", id="sibling"),
        pytest.param({"Content-Type": FORM}, 415, "request_invalid", id="form of an old browser"),
        pytest.param({"Content-Type": "text/plain"}, 415, "request_invalid", id="text of an old browser"),
        pytest.param({}, 415, "request_invalid", id="no type"),
    ],
)
async def test_ck_05_nobody_is_logged_in_as_mallory(
    target: Plane, headers: dict[str, str], status: int, code: str
) -> None:
    """Another site cannot log Alice's browser in with Mallory's password."""
    fields = {"username": "mallory", "password": PASSWORD, "cookie": True}
    form = headers.get("Content-Type") == FORM
    content = "&".join(f"{name}={value}" for name, value in fields.items()) if form else json.dumps(fields)
    before = len(said(target, "LoggedIn mallory"))
    reply = await target.http.post("/auth/login", content=content.encode(), headers=headers)
    await refused(target, reply, status, code)
    assert "set-cookie" not in reply.headers
    assert len(said(target, "LoggedIn mallory")) == before


async def test_ck_05_the_form_sets_no_cookie(plain: Plane) -> None:
    """Where the form is taken, it comes from no other site, and gives tokens, never a cookie."""
    content = f"grant_type=password&username=alice&password={PASSWORD}&cookie=true".encode()
    for headers in ({"Origin": EVIL}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        reply = await plain.http.post("/auth/login", content=content, headers={"Content-Type": FORM, **headers})
        await refused(plain, reply, 403, "origin_denied", "csrf_failed")
    reply = await plain.http.post("/auth/login", content=content, headers={"Content-Type": FORM, "Origin": ORIGIN})
    assert "set-cookie" not in reply.headers
    assert noted(reply.json())["subject"] == "alice"
    for other in ("/auth/refresh", "/auth/ticket", "/auth/logout"):
        reply = await plain.http.post(other, content=content, headers={"Content-Type": FORM})
        await refused(plain, reply, 415, "request_invalid")


@pytest.mark.parametrize("content", [b"username=a&username=alice&password=x", b"username=%ff&password=x", b"&" * 50])
async def test_ck_05_a_form_that_says_two_things_says_nothing(plain: Plane, content: bytes) -> None:
    """Of a form nothing is guessed."""
    reply = await plain.http.post("/auth/login", content=content, headers={"Content-Type": FORM})
    await refused(plain, reply, 400, "request_invalid")


CHANGES: tuple[tuple[str, str, dict[str, str] | None], ...] = (
    ("POST", "/auth/logout", None),
    ("POST", "/auth/refresh", None),
    ("POST", "/auth/ticket", {}),
    ("DELETE", "/auth/sessions", None),
    ("PUT", "/auth/password", {"current_password": PASSWORD, "new_password": PASSWORD}),
)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=[path for _, path, _ in CHANGES])
async def test_ck_06_nothing_is_changed_by_another_site(
    target: Plane, method: str, path: str, body: dict[str, str] | None
) -> None:
    """With Alice's cookie alone no other site ends, renews or changes anything; nor does a GET."""
    page = await target.page("alice")
    async with page.open() as socket:
        attempts: tuple[tuple[dict[str, str], str], ...] = (
            ({"Origin": EVIL}, "origin_denied"),
            ({"Origin": "null"}, "origin_denied"),
            ({"Sec-Fetch-Site": "cross-site"}, "csrf_failed"),
            ({"Sec-Fetch-Site": "none"}, "csrf_failed"),
            ({}, "csrf_failed"),
            ({"Origin": ORIGIN}, "csrf_failed"),
            ({"Origin": EVIL, "X-CSRF-Token": page.csrf_token}, "origin_denied"),
            ({"X-CSRF-Token": page.csrf_token}, "csrf_failed"),
        )
        for headers, code in attempts:
            reply = await target.http.request(method, path, headers={**page.jar, **headers}, json=body)
            await refused(target, reply, 403, code)
            assert "set-cookie" not in reply.headers
        if path != "/auth/sessions":
            for safe in ("GET", "HEAD"):
                reply = await target.http.request(safe, path, headers={**page.jar, "Origin": ORIGIN})
                assert reply.status_code == 405
        await quiet(socket)
    await lives(page)


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/plain; application/json", FORM, "multipart/form-data", "application/jsonp", "", "*/*"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/auth/login"), ("POST", "/auth/refresh"), ("PUT", "/auth/password")]
)
async def test_ck_07_only_json_is_json(target: Plane, method: str, path: str, kind: str) -> None:
    """JSON under a type that a page may send without asking first is not read."""
    page = await target.page("alice")
    content = json.dumps({"username": "alice", "password": PASSWORD}).encode()
    headers = {**page.headers, **({"Content-Type": kind} if kind else {})}
    await refused(
        target, await target.http.request(method, path, content=content, headers=headers), 415, "request_invalid"
    )


async def test_ck_07_json_with_a_charset_is_json(target: Plane) -> None:
    """The refusals around it mean something."""
    content = json.dumps({"username": "alice", "password": PASSWORD, "cookie": True}).encode()
    headers = {"Content-Type": "Application/JSON; charset=utf-8", "Origin": ORIGIN}
    reply = await target.http.post("/auth/login", content=content, headers=headers)
    target.http.cookies.clear()
    assert subject(reply) == "alice"
    secret(reply.headers["set-cookie"].partition("=")[2].partition(";")[0], "a session cookie")
    secret(reply.json()["csrf_token"], "a login's csrf_token")


async def test_ck_09_a_csrf_token_is_the_servers_own(target: Plane) -> None:
    """Neither a cookie and a header that agree, nor a token of Mallory's own session, stand for Alice's."""
    alice, mallory = await target.page("alice"), await target.page("mallory")
    for presented in ("x", "", mallory.csrf_token, alice.session_id, alice.cookie, alice.csrf_token[:-1]):
        jar = f"{target.cookie}={alice.cookie}; csrf={presented}; csrf_token={presented}; XSRF-TOKEN={presented}"
        headers = {"Origin": ORIGIN, "Cookie": jar, "X-CSRF-Token": presented, "X-XSRF-Token": presented}
        await refused(target, await target.http.post("/auth/logout", headers=headers), 403, "csrf_failed")
    twice = [("Origin", ORIGIN), ("Cookie", alice.jar["Cookie"]), *[("X-CSRF-Token", alice.csrf_token)] * 2]
    await refused(target, await target.http.post("/auth/logout", headers=twice), 400, "request_invalid")
    odd = [(name.encode(), value.encode()) for name, value in alice.headers.items() if name != "X-CSRF-Token"]
    odd.append((b"X-CSRF-Token", b"\xff"))
    await refused(target, await target.http.post("/auth/logout", headers=odd), 403, "csrf_failed")
    await lives(alice)


# CORS.


async def routes_of(server: Plane, token: str) -> list[tuple[str, str]]:
    """Return every method and path that the server documents, and some that are not there."""
    document = (await server.http.get("/openapi.json", headers=bearer(token))).json()
    found = [
        (method.upper(), path.replace("{session_id}", "x"))
        for path in document["paths"]
        for method in document["paths"][path]
    ]
    assert len(found) > 10
    return [*found, ("GET", "/"), ("GET", "/openapi.json"), ("GET", "/nowhere"), ("PATCH", "/auth/me")]


async def test_ck_10_no_other_origin_is_reflected(target: Plane) -> None:
    """On no route, for no request and no preflight, is a page that is not allowed told that it may read."""
    login, page = await target.login("alice"), await target.page("alice")
    for method, path in await routes_of(target, login["access_token"]):
        for origin in LOOKALIKES:
            for more in ({}, page.jar):
                headers = {"Origin": origin, **more}
                reply = await target.http.request(method, path, headers=headers, json={} if method == "POST" else None)
                assert "access-control-allow-origin" not in reply.headers, (method, path, origin)
                assert "set-cookie" not in reply.headers
            asked = {"Origin": origin, "Access-Control-Request-Method": method}
            reply = await target.http.options(path, headers=asked)
            assert "access-control-allow-origin" not in reply.headers, (method, path, origin)
            assert reply.status_code == 400
    await lives(page)
    assert (await target.refresh(login["refresh_token"])).status_code == 200


async def test_ck_10_an_allowed_page_may_read_its_answers_and_its_errors(target: Plane) -> None:
    """For the allowed page the very Origin is named, with credentials, and caches know that it depends on it."""
    login = await target.login("alice")
    for method, path in await routes_of(target, login["access_token"]):
        asked = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
        if method in ("GET", "POST", "PUT", "DELETE"):
            preflight = await target.http.options(path, headers=asked)
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == ORIGIN
        reply = await target.http.request(method, path, headers={"Origin": ORIGIN})
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        assert reply.headers["access-control-allow-credentials"] == "true"
        assert "origin" in reply.headers["vary"].lower()


async def test_ck_10_the_admin_api_is_for_no_page(target: Plane) -> None:
    """The admin listener refuses whatever has an Origin, and names none."""
    async with httpx2.AsyncClient(base_url=target.serving.admin, trust_env=False) as admin:
        for origin in (*LOOKALIKES, ORIGIN, OWN):
            for path in ("/admin/api/users", "/admin/api/sessions", "/nowhere"):
                headers = {"Origin": origin, **bearer(target.keys["probe"])}
                for reply in (
                    await admin.get(path, headers=headers),
                    await admin.options(path, headers={**headers, "Access-Control-Request-Method": "POST"}),
                ):
                    assert reply.status_code >= 400
                    assert "access-control-allow-origin" not in reply.headers


# Plain text, size, places.


async def test_ck_13_no_cookie_is_set_or_read_in_plain_text(target: Plane) -> None:
    """What reached the proxy in plain text is refused, with or without a cookie."""
    page = await target.page("alice")
    body = {"username": "alice", "password": PASSWORD, "cookie": True}
    for proxied in ({"X-Forwarded-Proto": "http"}, {"Forwarded": "proto=http"}):
        async with httpx2.AsyncClient(base_url=target.serving.http, headers=proxied, trust_env=False) as direct:
            for reply in (
                await direct.post("/auth/login", json=body, headers={"Origin": ORIGIN}),
                await direct.get("/auth/me", headers=page.jar),
            ):
                await refused(target, reply, 400, "request_invalid")
                assert "set-cookie" not in reply.headers
        lines = [f"{name}: {value}" for name, value in {**proxied, **page.jar, "Origin": ORIGIN}.items()]
        async with wire(target.port, request("/ws", *lines)) as found:
            assert (await found.answer()).status == 400
    await lives(page)


async def test_ck_13_a_browser_in_plain_text_drops_the_cookie(target: Plane) -> None:
    """Who asks past the proxy gets the cookie of https all the same, which no browser keeps from plain http."""
    body = {"username": "alice", "password": PASSWORD, "cookie": True}
    async with httpx2.AsyncClient(base_url=target.serving.http, trust_env=False) as direct:
        reply = await direct.post("/auth/login", json=body, headers={"Origin": ORIGIN})
        assert "; Secure" in reply.headers["set-cookie"]
    noted(reply.json())
    cookie_of(reply, target.cookie)


async def test_ck_13_tls_is_for_good(tls: Plane) -> None:
    """Every answer over TLS, also a no, asks for https for a year on all subdomains; plain HTTP gets no answer."""
    page = await tls.page("alice")
    for path in ("/auth/me", "/nowhere", "/", "/healthz"):
        for headers in (page.jar, {}):
            reply = await tls.http.get(path, headers=headers)
            found = reply.headers["strict-transport-security"]
            assert int(found.partition("max-age=")[2].partition(";")[0]) >= 31_536_000
            assert "includeSubDomains" in found
    async with page.open() as socket:
        await quiet(socket)
    url = f"http://127.0.0.1:{tls.port}/auth/me"
    async with httpx2.AsyncClient(trust_env=False) as plain:
        with pytest.raises(httpx2.TransportError):
            await plain.get(url, headers=page.jar)


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        pytest.param([f"Cookie: {'; '.join(f'a{n}=b' for n in range(5_000))}"], (400, 431), id="5000 cookies"),
        pytest.param([f"Cookie: a{n}=b" for n in range(5_000)], (400, 431), id="5000 lines"),
        pytest.param([f"Cookie: a={'b' * 65_536}"], (400, 431), id="64 KiB"),
        pytest.param([f"Cookie: __Host-wsauth={'b' * 65_536}"], (400, 431), id="64 KiB of session"),
    ],
)
async def test_ck_14_a_cookie_bomb_is_refused_at_once(
    target: Plane, lines: list[str], statuses: tuple[int, ...]
) -> None:
    """Too many or too large cookies get an answer within half a second, in a request and in a handshake."""
    for head in (request("/ws", *lines), request("/auth/me", *lines, without=("Connection", "Upgrade"))):
        began = time.monotonic()
        async with wire(target.port, head) as mallory:
            answer = await mallory.answer()
        assert answer.status in statuses
        assert time.monotonic() - began < 0.5
        await explained(target, json.loads(answer.body)["id"])


async def test_ck_15_the_sessions_proof_stands_in_the_cookie_only(plain: Plane) -> None:
    """In no body, no header, no ticket, no message and no page is the value of the cookie, or its secret part."""
    page = await plain.page("alice")
    proof = page.cookie.rpartition(".")[2]
    answers = [
        await page.ask("GET", "/auth/me"),
        await page.ask("GET", "/auth/sessions"),
        await page.ask("POST", "/auth/ticket", json={}),
        await page.ask("GET", "/auth/verify"),
        await page.ask("GET", "/"),
        await page.ask("GET", "/openapi.json"),
        await page.ask("GET", "/.well-known/websocket-auth"),
        await page.ask("GET", "/nowhere"),
        await page.ask("POST", "/auth/login", json={}),
    ]
    ticket = secret(answers[2].json()["ticket"], "a ticket")
    said_ = [urlsafe_b64decode(ticket.partition(".")[0] + "==").decode()]
    async with page.open(subprotocols=["wsauth.v1"]) as socket:
        said_.append(str(await socket.recv()))
    said_ += [f"{reply.headers} {reply.text}" for reply in answers]
    refreshed = await page.ask("POST", "/auth/refresh")
    said_ += [refreshed.text, page.reply.text, (await page.ask("POST", "/auth/logout")).text]
    for text in said_:
        assert page.cookie not in text
        assert proof not in text


@pytest.mark.parametrize("path", ["/", "/wsauth.css"])
async def test_ck_17_the_page_is_framed_by_nobody(plain: Plane, path: str) -> None:
    """The built-in page runs no script, is in no frame, is not sniffed, and says nothing to whoever it links to."""
    reply = await plain.http.get(path)
    assert reply.status_code == 200
    rules = [rule.strip() for rule in reply.headers["content-security-policy"].split(";")]
    assert {"frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'", "default-src 'none'"} <= set(rules)
    assert "script" not in reply.text
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"


async def test_ck_18_nobody_keeps_an_answer_about_a_login(target: Plane) -> None:
    """Every answer of the API that is about somebody, good or bad, with or without a body, is stored nowhere."""
    login, page = await target.login("alice"), await target.page("alice")
    as_alice: dict[str, Any] = {"headers": bearer(login["access_token"])}
    body = {"username": "alice", "password": PASSWORD}
    replies = [page.reply, await target.refresh(login["refresh_token"])]
    for method, path, options in (
        ("POST", "/auth/login", {"json": {**body, "password": "wrong"}}),
        ("GET", "/auth/me", as_alice),
        ("GET", "/auth/me", {}),
        ("GET", "/auth/sessions", as_alice),
        ("DELETE", "/auth/sessions/x", as_alice),
        ("POST", "/auth/ticket", as_alice),
        ("GET", "/auth/verify", as_alice),
        ("GET", "/auth/verify", {}),
        ("PUT", "/auth/password", {**as_alice, "json": {"current_password": PASSWORD, "new_password": "short"}}),
        ("GET", "/openapi.json", as_alice),
        ("POST", "/auth/logout", as_alice),
        ("POST", "/auth/logout", as_alice),
        ("DELETE", "/auth/sessions", {"headers": page.headers}),
        ("GET", "/auth/nowhere", {}),
        ("PATCH", "/auth/me", {}),
    ):
        replies.append(await target.http.request(method, path, **options))
    assert {reply.status_code for reply in replies} >= {200, 204, 401, 404, 405}
    for reply in replies:
        assert reply.headers["cache-control"] == "no-store", reply.request.url
        assert "etag" not in reply.headers
        if reply.request.url.path == "/auth/ticket":
            secret(reply.json()["ticket"], "a ticket")


async def test_ck_18_a_flood_of_changes_by_another_site_changes_nothing(target: Plane) -> None:
    """A hundred cross-site logouts at once leave Alice where she is."""
    page = await target.page("alice")
    headers = {**page.jar, "Origin": EVIL}
    replies = await asyncio.gather(*(target.http.post("/auth/logout", headers=headers) for _ in range(100)))
    assert {reply.status_code for reply in replies} == {403}
    await lives(page)
