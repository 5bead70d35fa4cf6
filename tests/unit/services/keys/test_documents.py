"""Fetching one JSON document, within limits and without surprises, from a real server."""

import gzip
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.issuing import provider, response
from wsauth.core.urls import is_loopback
from wsauth.errors import ConfigurationError
from wsauth.services.keys import documents
from wsauth.services.keys.documents import FetchFailed, check_url, fetch


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com/jwks",
        "https://login.example.com:8443/a?b=c",
        "http://127.0.0.1:8080/jwks",
        "http://127.8.8.8/jwks",
        "http://[::1]:8080/jwks",
        "http://localhost/jwks",
    ],
)
def test_https_and_loopback_may_be_fetched(url: str) -> None:
    """TLS is asked for, but not on this machine."""
    assert check_url(url, "jwks_url") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "login.example.com",
        "http://login.example.com/jwks",
        "http://localhost.example.com/jwks",
        "http://127.0.0.1.example.com/jwks",
        "http://10.0.0.1/jwks",
        "HTTPS://login.example.com/jwks",
        "ftp://login.example.com/jwks",
        "file:///etc/passwd",
        "https://user:pass@login.example.com/jwks",
        "https://@login.example.com/jwks",
        "https://login.example.com/jwks#x",
        "https:///jwks",
        "https://[::1/jwks",
        "https://login.example.com/\njwks",
        "https://login.example.com/jwks ",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """Plain http to elsewhere, other schemes, user names, fragments and nonsense are refused with the key's name."""
    with pytest.raises(ConfigurationError, match="jwks_url"):
        check_url(url, "jwks_url")


def test_loopback_can_be_ruled_out() -> None:
    """A provider elsewhere must not send us to this machine in plain text."""
    with pytest.raises(ConfigurationError, match="jwks_uri"):
        check_url("http://127.0.0.1/jwks", "jwks_uri", plaintext=False)
    assert not is_loopback("https://login.example.com")


async def test_a_document_is_an_object() -> None:
    """A JSON object comes back as it was served."""
    async with provider() as it:
        it.answers["/x"] = {"keys": []}
        assert await fetch(f"{it.url}/x") == {"keys": []}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (response(b"<html></html>", "Content-Type: text/html"), "not JSON"),
        (response(b"[]"), "not a JSON object"),
        (response(b'{"keys":[],"keys":[]}'), "twice"),
        (response(b""), "not JSON"),
        (response(b"{}", status="204 No Content"), "204"),
        (response(b"{}", status="500 Oops"), "500"),
        (response(b"", "Location: /y", status="302 Found"), "302"),
        (response(b"", "Location: https://evil.example/", status="301 Moved"), "301"),
        (response(gzip.compress(b"{}"), "Content-Encoding: gzip"), "coding"),
        (response(b'{"x":"' + b"y" * 262_144 + b'"}'), "256 KiB"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "reached"),
        (b"nonsense\r\n\r\n", "reached"),
        (b"", "reached"),
    ],
)
async def test_an_answer_that_cannot_be_used_fails(answer: bytes, why: str) -> None:
    """HTML, redirects, codings, endless and broken answers each fail with their reason, after one request."""
    async with provider() as it:
        it.answers.update({"/x": answer, "/y": {"keys": []}})
        with pytest.raises(FetchFailed, match=why):
            await fetch(f"{it.url}/x")
        assert it.asked == ["/x"]


async def test_a_silent_server_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the request and says nothing is given up after the time limit."""
    monkeypatch.setattr(documents, "TIME_LIMIT", 0.1)
    async with provider() as it:
        it.answers["/x"] = None
        began = time.monotonic()
        with pytest.raises(FetchFailed, match=r"0\.1 s"):
            await fetch(f"{it.url}/x")
        assert time.monotonic() - began < 3


async def test_nobody_there_is_a_failure() -> None:
    """A closed port fails with the reason and not with the client library's error."""
    async with provider() as it:
        url = it.url
    with pytest.raises(FetchFailed, match="ConnectError"):
        await fetch(f"{url}/x")


def _self_signed(folder: Path) -> ssl.SSLContext:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "both.pem").write_bytes(certificate.public_bytes(Encoding.PEM) + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """Over TLS a server that only says who it is gets no request, on this machine neither."""
    async with provider(_self_signed(tmp_path)) as it:
        it.answers["/x"] = {}
        with pytest.raises(FetchFailed, match="ConnectError"):
            await fetch(f"{it.url}/x")
        assert it.asked == []


async def test_the_environment_sets_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment does not get to see or answer the request."""
    async with provider() as proxy, provider() as it:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        it.answers["/x"] = {}
        assert await fetch(f"{it.url}/x") == {}
        assert proxy.asked == []
