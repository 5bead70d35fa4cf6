"""ATTACKS.md, group "Administration", against a real `wsauth serve`: every test is named by its row.

AD-05 (tenants) and AD-09 (rates) are for later. Where the row asks for an `aud` of its own, the contract has a grant.
"""

import asyncio
import itertools
import json
import os
import re
import stat
import sys
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import httpx2
import pytest

from tests.attacks.wire import request, wire
from tests.leaks import keep, secret
from tests.wsauth_server import PATIENCE, WSAUTH, Serving, command, environment, serving
from tests.wsauth_sockets import Sockets, admin, called, endings, new_password, people, port_of, refusal, said
from wsauth.cli.main import wsauth

ORIGIN: Final = "https://app.example.com"
CONFIG: Final = f"""
[server]
origins = ["{ORIGIN}"]

[roles]
manager = ["**", "*:*"]
"""
LISTENS: Final = "0A"
"""The state of a listening socket in `/proc/net/tcp`."""
PRIVATE: Final = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
"""Members of a JWK that only its owner knows (RFC 7518 section 6, RFC 8037 section 2)."""


@dataclass
class Office:
    """Be a server, who administers it, and two who do not."""

    server: Serving
    key: str
    password: str
    alice: dict[str, Any]

    @property
    def api(self) -> str:
        """Return the URL of the admin API."""
        return f"{self.server.admin}/admin/api"


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Office]:
    """Run one server for this module."""
    async with serving(tmp_path_factory.mktemp("office"), config=CONFIG) as server:
        key = await server.add_service("ops", grants=["wsauth:admin"])
        password = await people(server, ["alice", "bob"], roles=["manager", "admin"])
        yield Office(server, key, password, await server.login("alice", password))
        assert "Traceback" not in server.output()


async def operations(office: Office) -> list[tuple[str, str]]:
    """Return every method and path of the admin API, with something in the place of each parameter."""
    document = (await called("GET", f"{office.server.admin}/openapi.json", office.key)).json()
    return [
        (method.upper(), re.sub(r"\{[^}]*\}", "alice", path))
        for path, methods in document["paths"].items()
        if path.startswith("/admin/")
        for method in methods
    ]


def listening(pid: int) -> list[tuple[str, int]]:
    """Return the addresses, in hex as the kernel has them, and ports on which a process listens."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry)):
            inodes.add(found[1])
    addresses = []
    for family in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (fields[3] == LISTENS or family.startswith("udp")):
                address, _, port = fields[1].partition(":")
                addresses.append((address, int(port, 16)))
    return addresses


# AD-01.


async def test_ad_01_a_default_start_listens_on_loopback_only_and_apart(office: Office) -> None:
    """The process has two listeners, both on 127.0.0.1; neither answers what belongs to the other."""
    server = office.server
    assert sorted(listening(server.pid)) == sorted(("0100007F", port_of(url)) for url in (server.http, server.admin))
    for method, path in await operations(office):
        answer = await called(method, server.http + path, office.key, {} if method != "GET" else None)
        assert answer.status_code == 404, path
    for path in ("/auth/login", "/auth/me", "/healthz", "/readyz", "/", "/ws"):
        assert (await called("GET", server.admin + path, office.key)).status_code == 404
    async with wire(port_of(server.admin), request("/ws", f"Authorization: Bearer {office.key}")) as mallory:
        assert (await mallory.answer()).status == 404


@pytest.mark.parametrize("variable", ["WSAUTH__ADMIN__LISTEN=0.0.0.0:0", "WSAUTH__SERVER__HOST=0.0.0.0"])
async def test_ad_01_it_does_not_start_in_the_open_without_tls(tmp_path: Path, variable: str) -> None:
    """A listener that other machines reach needs TLS: exit status 2, and one line that says so."""
    name, _, value = variable.partition("=")
    done = await command(tmp_path, "serve", environ={name: value})
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert "TLS" in line or "tls" in line
    assert "listening" not in done.err


# AD-02.


async def test_ad_02_nobody_without_the_grant_gets_in(office: Office) -> None:
    """No token, a user's, a ticket, a cookie, an expired token, another audience: 401 or 403 at every operation."""
    server = office.server
    issue = ("tokens", "issue", "--subject", "ops", "--json")
    other = await command(server.folder, *issue, environ={"WSAUTH__TOKENS__AUDIENCE": "elsewhere"})
    short = await command(server.folder, *issue, "--ttl", "1s")
    good = await command(server.folder, *issue)
    foreign, expired, fine = (secret(_token(done.json()), "an issued token") for done in (other, short, good))
    ticket = await server.ticket(office.alice["access_token"])
    assert (await called("GET", f"{office.api}/users", fine)).status_code == 200
    await asyncio.sleep(1.1)
    expected = {
        "": (401, "credentials_missing"),
        office.alice["access_token"]: (403, "permission_denied"),
        office.alice["refresh_token"]: (401, "token_invalid"),
        ticket: (401, "token_invalid"),
        foreign: (401, "token_invalid"),
        expired: (401, "token_expired"),
        f"{fine[:-4]}AAAA": (401, "token_invalid"),
        "wsk_" + "A" * 43: (401, "token_invalid"),
    }
    for method, path in await operations(office):
        for token, (status, code) in expected.items():
            answer = await called(method, server.admin + path, token, {} if method != "GET" else None)
            found = answer.json()["code"]
            assert answer.status_code == status, (path, code, found)
            assert found == code or (found, code) == ("credentials_invalid", "token_invalid"), (path, code, found)


def _token(answer: dict[str, Any]) -> str:
    return next(str(value) for value in answer.values() if str(value).startswith("ey"))


async def test_ad_02_no_role_claim_or_pattern_makes_an_administrator(office: Office) -> None:
    """`wsauth:` cannot be written as a role or a permission anywhere, and "**" does not reach it."""
    server = office.server
    assert (await refusal(server, office.alice["access_token"])).status == 101
    issued = await server.command("tokens", "issue", "--subject", "bob", "--role", "wsauth:admin", "--json")
    token = secret(_token(issued.json()), "a token with an odd role")
    assert (await called("GET", f"{office.api}/users", token)).status_code == 403
    for arguments in (
        ("users", "set-roles", "bob", "--role", "wsauth:admin"),
        ("users", "set-roles", "bob", "--grant", "wsauth:everything"),
    ):
        assert (await server.command(*arguments)).status == 2, arguments
    async with admin(server, office.key) as api:
        for path, body in (
            ("/users/bob", {"roles": ["wsauth:admin"]}),
            ("/tickets", {"issuer": "elsewhere", "subject": "x", "permissions": ["wsauth:admin"]}),
            ("/tickets", {"issuer": "elsewhere", "subject": "x", "roles": ["wsauth:admin"]}),
        ):
            method = "PATCH" if path == "/users/bob" else "POST"
            assert (await api.request(method, path, json=body)).status_code == 400, body


# AD-03.


async def test_ad_03_a_page_gets_nowhere_whatever_it_sends(office: Office) -> None:
    """With any Origin, our own too, a good key is refused; no answer ever has a CORS header."""
    server = office.server
    for origin in (ORIGIN, "https://evil.example", "null", server.admin, server.http):
        for method, path in (("GET", "/users"), ("POST", "/revocations"), ("OPTIONS", "/users")):
            answer = await called(method, office.api + path, office.key, Origin=origin)
            assert answer.status_code in (403, 405), (origin, method)
            assert method == "OPTIONS" or answer.json()["code"] == "origin_denied"
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        upgrade = request("/ws", f"Origin: {origin}", f"Authorization: Bearer {office.key}")
        async with wire(port_of(server.admin), upgrade) as mallory:
            assert (await mallory.answer()).status == 404
    answer = await called("POST", f"{office.api}/revocations", office.key, {"all": True}, Sec_Fetch_Site="cross-site")
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")


async def test_ad_03_a_rebound_name_is_not_answered(office: Office) -> None:
    """A Host that is not loopback gets 421 on both listeners, with a good key and without."""
    for url in (f"{office.api}/users", f"{office.server.http}/auth/me", f"{office.server.http}/"):
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "169.254.169.254"):
            for token in ("", office.key):
                answer = await called("GET", url, token, Host=f"{host}:{port_of(url)}")
                assert (answer.status_code, answer.json()["code"]) == (421, "request_invalid")


async def test_ad_03_cookies_and_basic_are_not_looked_at(office: Office) -> None:
    """The session cookie of an administrator opens the public API and not the admin's, nor does their password."""
    server = office.server
    password = await server.add_user("carol", new_password("carol"), grants=["wsauth:admin"])
    body = {"username": "carol", "password": password, "cookie": True}
    signed_in = await called("POST", f"{server.http}/auth/login", body=body, Origin=ORIGIN)
    cookie = signed_in.headers["Set-Cookie"].partition(";")[0]
    secret(cookie.partition("=")[2], "a session cookie")
    proof = signed_in.json()["csrf_token"]
    assert (await called("GET", f"{server.http}/auth/me", Cookie=cookie)).status_code == 200
    for method, path in await operations(office):
        answer = await called(method, server.admin + path, body={}, Cookie=cookie, X_CSRF_Token=proof)
        assert (answer.status_code, answer.json()["code"]) == (401, "credentials_missing"), path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    async with httpx2.AsyncClient(trust_env=False, auth=("carol", password)) as client:
        assert (await client.get(f"{office.api}/users")).status_code == 401


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_ad_03_a_body_that_a_form_could_send_is_refused(office: Office, kind: str) -> None:
    """Only application/json is read, so that no page can send a request without asking first."""
    headers = {"Authorization": f"Bearer {office.key}", **({"Content-Type": kind} if kind else {})}
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{office.api}/revocations", content=b'{"subject": "nobody"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "request_invalid")


# AD-06, AD-07.


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Return every member of an answer, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _members(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _members(inner)


async def test_ad_06_a_password_can_be_reset_and_neither_read_nor_chosen(office: Office) -> None:
    """No operation takes a password; a reset draws one, which is shown once and is not in any later answer."""
    async with admin(office.server, office.key) as api:
        for method, path in (("POST", "/users"), ("PATCH", "/users/bob")):
            for name in ("password", "password_hash", "new_password", "api_key", "key"):
                body = {"username": "dave", name: "a horse of her own choice"}
                assert (await api.request(method, path, json=body)).status_code == 400, name
        reset = (await api.patch("/users/bob", json={"reset_password": True})).json()
        drawn = secret(reset["password"], "a drawn password")
        assert len(drawn) >= 15
        for path in ("/users", "/users/bob", "/sessions"):
            answer = await api.get(path)
            assert drawn not in answer.text
            assert not {name for name, _ in _members(answer.json())} & {"password", "password_hash", "api_key"}
    body = {"username": "bob", "password": office.password}
    assert (await called("POST", f"{office.server.http}/auth/login", body=body)).status_code == 401
    await office.server.login("bob", drawn)


async def test_ad_07_no_answer_holds_a_key_a_hash_or_a_proof(office: Office) -> None:
    """Nothing that can be read on either listener is a private key, a hash, a token or a piece of the key file."""
    server = office.server
    login = await server.login("alice", office.password)
    pages = [server.admin + path for method, path in await operations(office) if method == "GET"]
    pages += [
        f"{office.api}/keys/{key['kid']}"
        for key in (await called("GET", f"{office.api}/keys", office.key)).json()["items"]
    ]
    pages += [f"{server.http}{path}" for path in ("/.well-known/jwks.json", "/.well-known/websocket-auth", "/auth/me")]
    pages += [f"{server.http}/auth/sessions", f"{server.http}/", f"{server.admin}/openapi.json"]
    lines = (server.folder / "wsauth.key").read_text("utf-8").split()
    kept = [word for word in lines if len(word) >= 16]
    assert kept
    read = 0
    for page in pages:
        token = office.key if page.startswith(server.admin) else login["access_token"]
        answer = await called("GET", page, token)
        read += answer.status_code == 200
        text = answer.text
        for sign in ("argon2", "$2b$", "PRIVATE", login["refresh_token"], login["access_token"], office.key, *kept):
            assert sign not in text, page
        if "json" in answer.headers["content-type"] and "openapi" not in page:
            assert not {name for name, _ in _members(answer.json())} & PRIVATE, page
    assert read >= 9


async def test_ad_07_a_made_key_shows_its_public_half_only(office: Office) -> None:
    """Rotating through the API and at the command line shows no private member either."""
    made = await called("POST", f"{office.api}/keys", office.key, {})
    assert made.status_code == 201
    assert made.json()["jwk"]["kty"] == "OKP"
    for done in [
        await office.server.command("keys", "list", "--json"),
        await office.server.command("keys", "rotate", "--json"),
    ]:
        assert done.status == 0, done.err
        assert not {name for name, _ in _members(done.json())} & PRIVATE
    assert not {name for name, _ in _members(made.json())} & PRIVATE


# AD-10.


async def test_ad_10_only_health_is_open_and_it_says_nothing(office: Office) -> None:
    """Without credentials `/healthz` says ok and `/readyz` ready; all that operates or explains is off or refused."""
    server = office.server
    assert (await called("GET", f"{server.http}/healthz")).text == "ok"
    assert (await called("GET", f"{server.http}/readyz")).text == "ready"
    names = (
        "metrics",
        "docs",
        "redoc",
        "openapi.json",
        "debug",
        "debug/pprof",
        "status",
        "server-status",
        "env",
        ".env",
    )
    for base, name in itertools.product((server.http, server.admin), (*names, ".git/config", "admin", "admin/api")):
        answer = await called("GET", f"{base}/{name}")
        assert answer.status_code in (401, 404), (base, name)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "server" not in answer.headers
        assert not re.search(r"python|uvicorn|fastapi|starlette|\d+\.\d+\.\d+", answer.text, re.IGNORECASE)
    for path in ("/healthz", "/readyz", "/"):
        assert (await called("GET", server.admin + path)).status_code == 404


# AD-11.


async def test_ad_11_everything_is_revoked_only_when_it_is_said_and_twice_is_as_once(tmp_path: Path) -> None:
    """Nothing less than `{"all": true}` by a full administrator, or `--all`, does it; each time leaves a line."""
    async with serving(tmp_path, config=CONFIG) as server, Sockets() as sockets:
        key = await server.add_service("ops", grants=["wsauth:admin"])
        clerk = await server.add_service("clerk", grants=["wsauth:revoke"])
        password = await people(server, ["alice", "bob"])
        tokens = [(await server.login(name, password))["access_token"] for name in ("alice", "bob")]
        held = await sockets.open_many(server, tokens)
        async with admin(server, clerk) as api:
            assert (await api.post("/revocations", json={"all": True})).json()["code"] == "permission_denied"
        assert (await server.command("sessions", "revoke")).status == 2
        async with admin(server, key) as api:
            bodies: list[Any] = [{}, [], None, True, {"all": False}, {"all": 1}, {"all": "true"}, {"all": None}]
            for body in [*bodies, {"all": True, "subject": "alice"}, {"subject": ""}, {"issuer": "wsauth"}]:
                assert (await api.post("/revocations", json=body)).status_code == 400, body
            assert [await refusal_code(server, token) for token in tokens] == ["", ""]
            first = (await api.post("/revocations", json={"all": True})).json()
            assert {end.reason for end in await endings(held)} == {"session_revoked"}
            assert (first["matched"], first["complete"]) == (2, True)
            second = (await api.post("/revocations", json={"all": True})).json()
            assert (second["matched"], second["complete"]) == (0, True)
        for report in (first, second):
            assert "Revoked" in await said(server, report["id"])
        assert [await refusal_code(server, token) for token in tokens] == ["session_revoked"] * 2
        again = await server.command("sessions", "revoke", "--all")
        assert again.status == 0, again.err


async def refusal_code(server: Serving, token: str) -> str:
    """Return why a token opens nothing; empty when it does."""
    return (await refusal(server, token)).code


async def test_ad_11_the_key_that_signs_is_not_removed_and_others_are_named(office: Office) -> None:
    """There is no way to remove all keys: one is named, and the only one that signs is a conflict."""
    async with admin(office.server, office.key) as api:
        assert (await api.delete("/keys")).status_code == 405
        assert (await api.delete("/keys/")).status_code in (404, 405)
        signing = [key["kid"] for key in (await api.get("/keys")).json()["items"] if key["state"] == "signing"]
        assert len(signing) == 1
        assert (await api.delete(f"/keys/{signing[0]}")).json()["code"] == "conflict"
    await office.server.login("alice", office.password)


# AD-13.


def options(group: click.Group, *verb: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Return every verb, and each name of each of its options and arguments."""
    for name, found in group.commands.items():
        for each in found.params:
            for option in each.opts:
                yield (*verb, name), option
        if isinstance(found, click.Group):
            yield from options(found, *verb, name)


async def test_ad_13_no_option_of_any_verb_takes_a_secret(tmp_path: Path) -> None:
    """Every option about a password, token or ticket reads standard input, so that `ps` has nothing to show."""
    found = list(options(wsauth))
    assert len({verb for verb, _ in found}) > 15
    for verb, option in found:
        if re.search(r"password|token|ticket|secret|credential|api-key", option):
            assert option.endswith("-stdin"), verb
    chosen = new_password("nobody")
    for arguments in (
        ("users", "add", "nobody", "--password", chosen),
        ("users", "add", "nobody", f"--password-stdin={chosen}"),
        ("users", "set-password", "nobody", chosen),
        ("tokens", "inspect", chosen),
        ("connect", "ws://127.0.0.1:1/ws", "--token", chosen),
    ):
        done = await command_quietly(tmp_path, *arguments)
        assert done == 2, arguments


async def command_quietly(folder: Path, *arguments: str) -> int | None:
    """Run a command whose complaint may repeat what was typed, and return its exit status."""
    process = await asyncio.create_subprocess_exec(
        str(WSAUTH),
        *arguments,
        cwd=folder,
        env=environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(PATIENCE):
        return await process.wait()


async def test_ad_13_a_terminal_does_not_show_what_is_typed(tmp_path: Path) -> None:
    """Asked for twice on a terminal, the password is good, and neither on the screen nor in /proc."""
    password = new_password("erin")
    relay = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", relay, str(WSAUTH), "users", "add", "erin"),
        cwd=tmp_path,
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    screen = b""
    async with asyncio.timeout(PATIENCE):
        for asked in (1, 2):
            while screen.count(b": ") < asked:
                part = await process.stdout.read(1024)
                assert part, screen
                screen += part
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                assert password.encode() not in _read(line)
            process.stdin.write(f"{password}\n".encode())
        while part := await process.stdout.read(1024):
            screen += part
        assert await process.wait() == 0, screen
    assert password.encode() not in screen
    keep("wsauth users add on a terminal", screen.decode(errors="replace"))
    async with serving(tmp_path) as server:
        await server.login("erin", password)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


async def test_ad_13_what_it_writes_is_for_its_owner_only(tmp_path: Path) -> None:
    """Store, key, what stands beside them and the configuration are 0600, whatever the mask of the shell is."""
    before = os.umask(0)
    try:
        assert (await command(tmp_path, "init")).status == 0
        async with serving(tmp_path) as server:
            await server.add_service("ops")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {"wsauth.toml", "wsauth.db", "wsauth.key"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes


async def test_ad_13_a_credential_on_standard_input_is_inspected_and_not_repeated(office: Office) -> None:
    """`tokens inspect` tells what a token is, without any piece of it that could be used."""
    token = office.alice["access_token"]
    done = await office.server.command("tokens", "inspect", "--json", stdin=f"{token}\n")
    assert (done.status, done.json()["subject"]) == (0, "alice")
    assert token not in done.out + done.err
    assert token.rpartition(".")[2] not in done.out + done.err
    assert json.dumps(done.json())
