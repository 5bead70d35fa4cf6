"""TLS at a real `wsauth serve`: its rules, certificates that are replaced, and clients that show one of their own."""

import asyncio
import json
import os
import signal
import socket
import ssl
import time
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from OpenSSL import SSL
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidMessage, InvalidStatus

from tests.attacks.wire import request, wire
from tests.authorities import Authority, Issued
from tests.end_to_end.administering import closed
from tests.wsauth_server import PATIENCE, Serving, serving
from tests.wsauth_sockets import eventually, new_password, note_secrets, port_of, said

SITE = Authority((("COMMON_NAME", "Site"),))
DEVICES = Authority((("ORGANIZATION_NAME", "Example"), ("COMMON_NAME", "Devices")))
ISSUER = "CN=Devices,O=Example"
MALLORY = Authority((("COMMON_NAME", "Mallory"),))
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)

CONFIG = """
[server]
tls_certificate = "server.pem"
tls_key = "server.key"
request_timeout = "1s"
"""
ASKING = """
tls_client_ca = "ca.pem"

[[routes]]
path = "/ws"
upstream = "echo"
sources = ["certificate", "cookie", "header", "message"]
grace = "200ms"

[[routes]]
path = "/only"
upstream = "echo"
sources = ["certificate"]
certificate_subject = "dns"

[[routes]]
path = "/without"
upstream = "echo"
sources = ["message"]
"""
HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@asynccontextmanager
async def served(
    folder: Path, config: str = "", *arguments: str, shows: Issued | None = None
) -> AsyncGenerator[Serving]:
    """Run a server that speaks TLS, and shows this certificate or one that all tests share."""
    (shows or SITE.server()).write(folder, "server")
    DEVICES.write(folder / "ca.pem")
    async with serving(folder, *arguments, config=CONFIG + config) as running:
        yield running


def client(shows: Issued | None = None, at: Serving | None = None) -> ssl.SSLContext:
    """Return a client that trusts the server, and shows a certificate if it has one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    SITE.trust(context)
    if shows is not None:
        assert at is not None
        shows.load(context, at.folder)
    return context


@asynccontextmanager
async def spoken(at: Serving, context: ssl.SSLContext) -> AsyncGenerator[tuple[asyncio.StreamReader, Any]]:
    """Speak TLS with the server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(at.http), ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(at: Serving, context: ssl.SSLContext, sent: bytes = HEAD) -> str:
    """Return the head of the answer to a request."""
    async with spoken(at, context) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(sent)
        return (await reader.readuntil(b"\r\n\r\n")).decode().lower()


async def shown(at: Serving) -> int:
    """Return the number of the certificate that whoever connects now is shown."""
    async with spoken(at, client()) as (_, writer):
        return int(writer.get_extra_info("peercert")["serialNumber"], 16)


@asynccontextmanager
async def wss(
    at: Serving, context: ssl.SSLContext, path: str = "/ws", **options: Any
) -> AsyncGenerator[ClientConnection]:
    """Open a socket that speaks wsauth."""
    protocols: Any = ["wsauth.v1"]
    async with connect(f"{at.ws}{path}", ssl=context, subprotocols=protocols, proxy=None, **options) as opened:
        yield opened


async def told(opened: ClientConnection) -> dict[str, Any]:
    """Return the next message of wsauth's."""
    async with asyncio.timeout(PATIENCE):
        found: dict[str, Any] = json.loads(await opened.recv())
    return found


async def echoes(opened: ClientConnection, text: str) -> bool:
    """Tell whether somebody answers behind the socket."""
    await opened.send(text)
    async with asyncio.timeout(PATIENCE):
        return await opened.recv() == text


async def refusal(at: Serving, context: ssl.SSLContext, path: str = "/ws", **options: Any) -> tuple[int, str]:
    """Return HTTP status and code of a no."""
    with pytest.raises(InvalidStatus) as refused:
        async with wss(at, context, path, **options):
            pass
    reply = refused.value.response
    return reply.status_code, json.loads(reply.body)["code"]


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncGenerator[Serving]:
    """Run a server that asks for certificates."""
    async with served(tmp_path_factory.mktemp("site"), ASKING) as running:
        yield running


@pytest.fixture(scope="module")
async def older(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncGenerator[Serving]:
    """Run a server that speaks TLS 1.2 too, and whose certificate has an RSA key."""
    folder = tmp_path_factory.mktemp("older")
    async with served(
        folder, 'tls_minimum = "1.2"', shows=SITE.issue("localhost", ip="127.0.0.1", rsa=True)
    ) as running:
        yield running


# The rules.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
async def test_older_versions_are_refused(site: Serving, version: ssl.TLSVersion) -> None:
    """By an alert, and 1.3 is what is spoken (HS-42)."""
    old = client()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = version
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        await answer(site, old)
    async with spoken(site, client()) as (_, writer):
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    assert "a handshake failed: unsupported protocol" in site.output()


async def test_curl_is_told_too(site: Serving, curl: Path) -> None:
    """What a person would type."""

    async def run(*options: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            curl,
            *("--disable", "--silent", "--show-error", "--noproxy", "*", "--cacert", "site.pem", "--include", *options),
            f"{site.http}/healthz",
            cwd=SITE.write(site.folder / "site.pem").parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode, said.decode().lower()

    status, said = await run()
    assert (status, said.splitlines()[0].strip()) == (0, "http/1.1 200 ok")
    assert said.count("strict-transport-security: max-age=31536000; includesubdomains") == 1
    status, said = await run("--tls-max", "1.2")
    assert (status, "alert protocol version" in said) == (35, True)


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        ("200", HEAD),
        ("404", HEAD.replace(b"/healthz", b"/nothing")),
        ("421", HEAD.replace(b"127.0.0.1", b"mallory.example")),
        ("400", b"x\r\n\r\n"),
        ("401", request("/only")),
        ("404", request("/nothing")),
        ("421", request("/only", "Host: mallory.example")),
    ],
    ids=["ok", "nothing", "host", "garbage", "refused handshake", "handshake to nothing", "handshake to another host"],
)
async def test_every_answer_says_https_only(site: Serving, status: str, sent: bytes) -> None:
    """For a year, with everything below this name, also where the answer is a no (CK-13)."""
    head = await answer(site, client(), sent)
    assert head.startswith(f"http/1.1 {status} ")
    assert head.count("strict-transport-security: max-age=31536000; includesubdomains") == 1


async def test_1_2_is_for_clients_with_forward_secrecy(older: Serving) -> None:
    """Where the configuration asks for it; older versions stay refused."""
    old = client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert (await answer(older, old)).startswith("http/1.1 200 ")
    for weak in ("AES128-GCM-SHA256", "AES256-SHA", "ECDHE-RSA-AES128-SHA256"):
        old.set_ciphers(weak)
        with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
            await answer(older, old)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        await answer(older, old)


async def test_nobody_renegotiates(older: Serving) -> None:
    """A client of TLS 1.2 that asks for it is told no (RX-03)."""

    def renegotiate() -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        with socket.create_connection(("127.0.0.1", port_of(older.http)), PATIENCE) as tcp:
            tcp.settimeout(None)
            connection = SSL.Connection(context, tcp)
            connection.set_connect_state()
            connection.do_handshake()
            connection.renegotiate()
            connection.do_handshake()

    with pytest.raises(SSL.Error, match="no renegotiation"):
        await asyncio.to_thread(renegotiate)


async def test_a_client_that_asks_for_another_server_is_refused(site: Serving) -> None:
    """Somebody on the way cannot send it here for what it wanted elsewhere (RFC 9325 section 3.7, ALPACA)."""
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        await asyncio.open_connection("127.0.0.1", port_of(site.http), ssl=client(), server_hostname="mallory.example")
    assert await said(site, "asked for another server")


@pytest.mark.parametrize("drip", [False, True], ids=["silent", "drop by drop"])
async def test_half_a_hello_is_cut(site: Serving, drip: bool) -> None:
    """At one deadline, `request_timeout`, that no byte moves (RX-03)."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        client().wrap_bio(to_client, to_server, server_hostname="localhost").do_handshake()
    hello = to_server.read()
    began = time.monotonic()
    async with wire(port_of(site.http)) as mallory:
        mallory.send(hello[: len(hello) // 2])
        cut = asyncio.create_task(mallory.cut(8))
        for at in range(len(hello) // 2, len(hello) - 1):
            if not drip or cut.done():
                break
            mallory.send(hello[at : at + 1])
            await asyncio.sleep(0.1)
        assert await cut
    assert time.monotonic() - began < 5


# Certificates that are replaced.


@asynccontextmanager
async def going_on(at: Serving) -> AsyncGenerator[None]:
    """Hold a socket open, on which somebody answers before and after."""
    async with wss(at, client()) as alice:
        assert (await told(alice))["type"] == "auth_required"
        await alice.send(json.dumps({"type": "auth", "token": "none"}))
        assert (await told(alice))["attempts_left"] == 2
        yield
        await alice.send(json.dumps({"type": "auth", "token": "none"}))
        assert (await told(alice))["attempts_left"] == 1


async def shows(at: Serving, issued: Issued, within: float) -> bool:
    """Tell whether whoever connects is shown this certificate, at the latest after so many seconds."""

    async def is_shown() -> bool:
        return await shown(at) == int(issued.serial, 16)

    return await eventually(is_shown, within)


def renewed(folder: Path) -> Issued:
    """Replace certificate and key."""
    issued = SITE.issue("localhost", ip="127.0.0.1")
    issued.write(folder, "server")
    return issued


async def test_a_certificate_is_replaced_under_open_sockets(tmp_path: Path) -> None:
    """By itself within seconds, or at once on SIGHUP; a broken file changes nothing, and the log says which and why."""
    async with served(tmp_path) as here, going_on(here):
        assert await shows(here, SITE.server(), 0)
        assert await shows(here, renewed(tmp_path), 20)
        second = renewed(tmp_path)
        os.kill(here.pid, signal.SIGHUP)
        assert await shows(here, second, 1.9)
        (tmp_path / "server.pem").write_bytes(second.certificate[:100])
        os.kill(here.pid, signal.SIGHUP)
        line = await said(here, "ERROR.*server.tls_certificate: .*server.pem is no whole PEM file")
        assert line.endswith("TLS goes on with what was read before")
        assert await shows(here, second, 0)
        async with going_on(here):
            last = renewed(tmp_path)
            os.kill(here.pid, signal.SIGHUP)
            assert await shows(here, last, 1.9)


async def test_sighup_reaches_every_worker(tmp_path: Path) -> None:
    """The parent passes it on, so that all show the same certificate."""
    async with served(tmp_path, "", "--workers", "2") as here:
        issued = renewed(tmp_path)
        os.kill(here.pid, signal.SIGHUP)

        async def all_shown() -> bool:
            return {await shown(here) for _ in range(12)} == {int(issued.serial, 16)}

        assert await eventually(all_shown, 10)


# Clients that show a certificate.


async def test_a_certificate_opens_a_socket_as_its_owner(site: Serving) -> None:
    """The name in it is the subject, the authority's name the issuer, and its end the lease's."""
    alice = DEVICES.issue("alice", ends=timedelta(hours=2))
    async with wss(site, client(alice, site)) as opened:
        success = await told(opened)
        assert (success["type"], success["issuer"], success["subject"]) == ("auth_success", ISSUER, "alice")
        assert success["expires_in"] == pytest.approx(7200, abs=PATIENCE)
        assert (success["roles"], success["permissions"]) == ([], [])
        assert await echoes(opened, "hi")


async def test_the_route_says_what_the_subject_is(site: Serving) -> None:
    """`certificate_subject = "dns"`; who has two of that kind is nobody."""
    async with wss(site, client(DEVICES.issue("alice", dns="Sensor.Example"), site), "/only") as opened:
        assert (await told(opened))["subject"] == "sensor.example"
    twice = DEVICES.issue("alice", dns=["a.example", "b.example"])
    assert await refusal(site, client(twice, site), "/only") == (401, "credentials_invalid")
    assert await said(site, "has 2 names of the kind dns")


async def test_without_a_certificate_the_other_sources_remain(site: Serving) -> None:
    """Where there is none, it is refused; over TLS nobody is kept out, also not from HTTP."""
    assert (await answer(site, client())).startswith("http/1.1 200 ")
    async with wss(site, client()) as opened:
        assert (await told(opened))["type"] == "auth_required"
    assert await refusal(site, client(), "/only") == (401, "credentials_missing")


async def test_where_it_is_no_source_a_certificate_opens_nothing(site: Serving) -> None:
    """It is as if it were not there."""
    async with wss(site, client(DEVICES.issue("alice"), site), "/without") as opened:
        assert (await told(opened))["type"] == "auth_required"


@pytest.mark.parametrize(
    ("issued", "alert"),
    [
        (DEVICES.issue("alice", begins=-2 * DAY, ends=-MINUTE), "CERTIFICATE_EXPIRED"),
        (MALLORY.issue("alice"), "UNKNOWN_CA"),
        (Authority((("ORGANIZATION_NAME", "Example"), ("COMMON_NAME", "Devices"))).issue("alice"), "DECRYPT_ERROR"),
    ],
    ids=["expired", "foreign", "another authority of the same name"],
)
async def test_a_certificate_that_is_not_good_fails_in_tls(site: Serving, issued: Issued, alert: str) -> None:
    """No request of that client is ever read; it learns why, and so does the log (HS-42)."""
    with pytest.raises(ssl.SSLError, match=alert):
        await answer(site, client(issued, site))
    with pytest.raises((OSError, InvalidMessage, EOFError)):
        async with wss(site, client(issued, site)):
            pass
    assert await said(site, "a client certificate was refused: certificate")


async def test_only_authorities_in_the_file_are_issuers(site: Serving) -> None:
    """One below them could call itself anything."""
    below = Authority((("COMMON_NAME", "Below"),), above=DEVICES)
    assert await refusal(site, client(below.issue("alice"), site)) == (401, "credentials_invalid")
    assert await said(site, "signed by CN=Below.*server.tls_client_ca")


async def test_a_page_that_is_not_allowed_cannot_use_its_visitors_certificate(site: Serving) -> None:
    """A browser shows it to whoever asks, so the Origin decides."""
    context = client(DEVICES.issue("alice"), site)
    assert await refusal(site, context, origin="https://mallory.example") == (403, "origin_denied")
    async with wss(site, context, origin=site.http) as opened:
        assert (await told(opened))["subject"] == "alice"


async def test_a_cookie_and_a_certificate_say_two_things(site: Serving) -> None:
    """Both came by themselves, so neither counts; a token that was put there on purpose does."""
    context, cookie = client(DEVICES.issue("alice"), site), {"Cookie": "__Host-wsauth=c"}
    assert await refusal(site, context, additional_headers=cookie) == (403, "origin_denied")
    async with wss(site, context, additional_headers=cookie, origin=site.http) as opened:
        assert await closed(opened) == "3000 credentials_ambiguous"
    bad = {"Authorization": "Bearer nobodys"}
    assert await refusal(site, context, additional_headers=bad) == (401, "token_invalid")


async def test_the_socket_ends_with_the_certificate(site: Serving) -> None:
    """It is told, may renew for the time of grace, and is closed; nothing of the client passes any more."""
    ends = timedelta(seconds=4)
    async with wss(site, client(DEVICES.issue("alice", ends=ends), site)) as opened:
        began = time.time()
        assert (await told(opened))["expires_in"] <= 4
        assert await echoes(opened, "hi")
        told_end = await told(opened)
        assert (told_end["code"], told_end["closing"]) == ("token_expired", False)
        assert (await told(opened))["closing"]
        assert await closed(opened) == "3000 token_expired"
    assert time.time() - began < 4 + PATIENCE


async def test_somebody_elses_token_does_not_renew_it(site: Serving) -> None:
    """The same identity, as ever."""
    password = await site.add_user("alice", new_password("alice"))
    async with httpx2.AsyncClient(verify=client(), trust_env=False) as http:
        reply = await http.post(f"{site.http}/auth/login", json={"username": "alice", "password": password})
    assert reply.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    note_secrets(reply.text)
    async with wss(site, client(DEVICES.issue("alice"), site)) as opened:
        await told(opened)
        await opened.send(json.dumps({"type": "auth", "token": reply.json()["access_token"]}))
        assert (await told(opened))["code"] == "identity_mismatch"
        assert await echoes(opened, "hi")


async def test_a_certificate_is_revoked(site: Serving) -> None:
    """By its owner's name: the socket is closed at once, and it opens nothing any more."""
    context, bob = client(DEVICES.issue("revoked"), site), client(DEVICES.issue("bob"), site)
    async with wss(site, context) as opened, wss(site, bob) as another:
        await told(opened)
        await told(another)
        done = await site.command("sessions", "revoke", "--subject", "revoked", "--issuer", ISSUER, "--json")
        assert (done.status, done.json()["closed"]) == (0, 1)
        assert await closed(opened) == "3000 token_revoked"
        assert await echoes(another, "hi")
    assert await refusal(site, context) == (401, "token_revoked")
