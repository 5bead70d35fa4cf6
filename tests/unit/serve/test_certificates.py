"""What TLS is spoken with: the rules, the files read anew, and the names that are asked for."""

import asyncio
import logging
import ssl
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.authorities import Authority, Issued
from wsauth.errors import ConfigurationError
from wsauth.serve.certificates import Certificates
from wsauth.settings import Settings

SITE = Authority((("COMMON_NAME", "Site"),))
DEVICES = Authority()
OTHERS = Authority((("COMMON_NAME", "Others"),))
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


class Files:
    """Be the files of a server.

    Attributes:
        settings: the configuration that names them.
    """

    def __init__(self, folder: Path, **server: Any) -> None:
        self.folder = folder
        self.put(SITE.server())
        names = {"tls_certificate": str(folder / "server.pem"), "tls_key": str(folder / "server.key")}
        self.settings = Settings.model_validate({"server": names | server})

    def put(self, issued: Issued) -> None:
        """Replace certificate and key."""
        issued.write(self.folder, "server")

    def certificates(self) -> Certificates:
        """Read them."""
        return Certificates(self.settings)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Be a server with a certificate and a key."""
    return Files(tmp_path)


@pytest.fixture
def asking(tmp_path: Path) -> Files:
    """Be a server that asks for certificates."""
    return Files(tmp_path, tls_client_ca=str(DEVICES.write(tmp_path / "ca.pem")))


def client(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Return a client that speaks one version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    SITE.trust(context)
    context.minimum_version = context.maximum_version = version
    return context


class Spoken:
    """Speak TLS in memory.

    Attributes:
        client: one end.
        server: the other.
    """

    def __init__(
        self, server: ssl.SSLContext, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None = None
    ) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(to_client, to_server, server_hostname=name, session=session)
        self.server = server.wrap_bio(to_server, to_client, server_side=True)

    def handshake(self) -> "Spoken":
        """Get to know each other."""
        waiting = [self.client, self.server]
        while waiting:
            for end in list(waiting):
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
                    waiting.remove(end)
        return self

    def say(self, text: bytes) -> bytes:
        """Send this from the server to the client, which reads its tickets on the way."""
        self.server.write(text)
        return self.client.read()

    @property
    def shown(self) -> int:
        """Return the number of the certificate that the server showed."""
        found: dict[str, Any] | None = self.client.getpeercert()
        assert found is not None
        return int(found["serialNumber"], 16)


def speak(server: ssl.SSLContext, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Spoken:
    """Speak TLS with the server that the client means."""
    return Spoken(server, context, "localhost", session).handshake()


def shown(certificates: Certificates) -> int:
    """Return the number of the certificate that whoever connects now is shown."""
    return speak(certificates.context, client()).shown


# The rules.


def test_1_3_is_spoken_and_nothing_older(files: Files) -> None:
    """The default (HS-42)."""
    context = files.certificates().context
    assert speak(context, client()).client.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        speak(context, client(ssl.TLSVersion.TLSv1_2))


@pytest.fixture(scope="module")
def rsa() -> Issued:
    """Be a server's certificate with which a client could do without forward secrecy."""
    return SITE.issue("localhost", dns="localhost", rsa=True)


def old(cipher: str) -> ssl.SSLContext:
    """Return a client of TLS 1.2 that can do one thing."""
    context = client(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(cipher)
    return context


@pytest.mark.parametrize("cipher", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"])
def test_1_2_is_spoken_where_it_is_asked_for(tmp_path: Path, rsa: Issued, cipher: str) -> None:
    """With forward secrecy and authenticated encryption (RFC 9325 section 4.2)."""
    files = Files(tmp_path, tls_minimum="1.2")
    files.put(rsa)
    spoken = speak(files.certificates().context, old(cipher))
    assert spoken.client.version() == "TLSv1.2"
    assert spoken.server.compression() is None


@pytest.mark.parametrize(
    "cipher", ["AES128-GCM-SHA256", "AES256-SHA", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA"]
)
def test_1_2_without_forward_secrecy_is_refused(tmp_path: Path, rsa: Issued, cipher: str) -> None:
    """Nor is anything encrypted without being authenticated (HS-42)."""
    files = Files(tmp_path, tls_minimum="1.2")
    files.put(rsa)
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        speak(files.certificates().context, old(cipher))


def test_nothing_is_renegotiated_or_compressed(files: Files) -> None:
    """Each renegotiation would cost the server more than the client (RX-03)."""
    options = files.certificates().context.options
    assert options & ssl.OP_NO_RENEGOTIATION
    assert options & ssl.OP_NO_COMPRESSION


@pytest.mark.parametrize(("offered", "spoken"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)])
def test_only_http_1_1_is_chosen(files: Files, offered: list[str], spoken: str | None) -> None:
    """ALPN (RFC 7301)."""
    context = client()
    if offered:
        context.set_alpn_protocols(offered)
    assert speak(files.certificates().context, context).client.selected_alpn_protocol() == spoken


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1"])
def test_who_asks_for_this_server_is_answered(files: Files, name: str) -> None:
    """By any of its names, and by its address, which is asked for without a name."""
    assert Spoken(files.certificates().context, client(), name).handshake().shown


def test_who_asks_for_another_server_is_refused(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """With the alert that says so, and with a line for the log, though not for each (RFC 9325 section 3.7)."""
    certificates = files.certificates()
    with caplog.at_level(logging.INFO, "wsauth"):
        for _ in range(2):
            with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
                Spoken(certificates.context, client(), "mallory.example").handshake()
    assert told(caplog) == [
        "TLS: a client asked for another server ('mallory.example'), which server.allowed_hosts does not have"
    ]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log's lines about handshakes."""
    return [record.message for record in caplog.records if "is good until" not in record.message]


# Files that change.


def test_a_new_pair_is_shown_to_who_connects_from_then_on(files: Files) -> None:
    """`reload` takes it at once, and those who are there go on as they were."""
    certificates = files.certificates()
    before = speak(certificates.context, client())
    files.put(SITE.issue("localhost", dns="localhost"))
    assert certificates.reload()
    assert shown(certificates) != before.shown
    assert before.say(b"still here") == b"still here"


def test_nobody_resumes_what_began_under_the_old_pair(files: Files) -> None:
    """A ticket would pass by the new certificate."""
    certificates = files.certificates()
    context = client()
    first = speak(certificates.context, context)
    first.say(b"x")
    again = speak(certificates.context, context, session=first.client.session)
    assert again.client.session_reused
    certificates.reload()
    assert not speak(certificates.context, context, session=first.client.session).client.session_reused


def half(content: bytes) -> bytes:
    """Return what is there when a file is being written."""
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("server.pem", half(SITE.server().certificate), "server.tls_certificate: {} is no whole PEM file"),
        ("server.pem", SITE.server().certificate + half(SITE.pem), "server.tls_certificate: {} is no whole PEM file"),
        ("server.pem", b"", "server.tls_certificate: {} is no whole PEM file"),
        ("server.pem", None, "server.tls_certificate: {}: No such file or directory"),
        ("server.pem", SITE.issue("localhost").certificate, "server.tls_key: {} is not the key of"),
        ("server.key", half(SITE.server().key), "server.tls_key: {} is no whole PEM file without a passphrase"),
        ("server.key", b"", "server.tls_key: {} is no whole PEM file without a passphrase"),
        ("server.key", None, "server.tls_key: {}: No such file or directory"),
        ("server.key", SITE.issue("localhost").key, "server.tls_key: {} is not the key of"),
        ("ca.pem", half(DEVICES.pem), "server.tls_client_ca: {} is no whole PEM file of certificates"),
        ("ca.pem", None, "server.tls_client_ca: {}: No such file or directory"),
    ],
)
def test_what_cannot_be_used_changes_nothing_and_is_told_once(
    asking: Files, caplog: pytest.LogCaptureFixture, name: str, content: bytes | None, text: str
) -> None:
    """One line names key and file and says what to do; the pair and the authorities of before go on."""
    certificates = asking.certificates()
    before, context = shown(certificates), certificates.context
    file = asking.folder / name
    whole = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with caplog.at_level(logging.WARNING, "wsauth"):
        assert not any(certificates.check() for _ in range(4))
    meant = asking.folder / name.replace("server.pem", "server.key") if "not the key" in text else file
    assert [record.message.startswith(text.format(meant)) for record in caplog.records] == [True]
    assert caplog.records[0].message.endswith("; TLS goes on with what was read before")
    assert certificates.context is context
    assert shown(certificates) == before
    file.write_bytes(whole)
    assert [certificates.check() for _ in range(3)] == [False, True, False]


def test_a_file_that_cannot_be_used_at_the_start_is_a_configuration_error(files: Files) -> None:
    """There is nothing yet to go on with."""
    (files.folder / "server.key").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="tls_key"):
        files.certificates()


def test_a_change_counts_once_it_has_settled(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """Between the certificate and its key nothing is tried, so that nothing fails; nor is anything read in vain."""
    certificates = files.certificates()
    renewed = SITE.issue("localhost", dns="localhost")
    assert not certificates.check()
    with caplog.at_level(logging.WARNING, "wsauth"):
        (files.folder / "server.pem").write_bytes(renewed.certificate)
        assert not certificates.check()
        (files.folder / "server.key").write_bytes(renewed.key)
        assert [certificates.check() for _ in range(3)] == [False, True, False]
    assert not caplog.records
    assert shown(certificates) == int(renewed.serial, 16)


def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path) -> None:
    """That is how Kubernetes replaces a secret: same size, perhaps the same time, another file."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        SITE.issue("localhost", dns="localhost").write(tmp_path / version, "server")
    (tmp_path / "now").symlink_to("one")
    pair = {"tls_certificate": str(tmp_path / "now/server.pem"), "tls_key": str(tmp_path / "now/server.key")}
    certificates = Certificates(Settings.model_validate({"server": pair}))
    before = shown(certificates)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "now")
    assert [certificates.check() for _ in range(2)] == [False, True]
    assert shown(certificates) != before


async def test_whoever_asks_has_the_files_read_at_once(files: Files) -> None:
    """And whoever listens gets the new context."""
    certificates = files.certificates()
    used: asyncio.Queue[ssl.SSLContext] = asyncio.Queue()
    asked = asyncio.Event()
    following = asyncio.create_task(certificates.follow(asked, used.put))
    await asyncio.sleep(0)
    files.put(SITE.issue("localhost", dns="localhost"))
    asked.set()
    async with asyncio.timeout(1):
        assert await used.get() is certificates.context
    following.cancel()


# Client certificates.


def showing(issued: Issued | None, folder: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Return a client that shows a certificate, or none."""
    context = client(version)
    if issued is not None:
        issued.load(context, folder)
    return context


def test_nobody_is_asked_without_an_authority(files: Files) -> None:
    """Then a certificate says nothing, and is not even sent."""
    assert files.certificates().context.verify_mode is ssl.CERT_NONE
    spoken = speak(files.certificates().context, showing(DEVICES.issue("alice"), files.folder))
    assert not spoken.server.getpeercert()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_good_certificate_is_shown_and_none_is_needed(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Routes decide whether one is needed."""
    authority = str(DEVICES.write(tmp_path / "ca.pem"))
    context = Files(tmp_path, tls_client_ca=authority, tls_minimum="1.2").certificates().context
    alice = DEVICES.issue("alice")
    found: dict[str, Any] | None = speak(context, showing(alice, tmp_path, version)).server.getpeercert()
    assert found is not None
    assert found["serialNumber"] == alice.serial
    assert speak(context, showing(None, tmp_path, version)).server.getpeercert() is None


@pytest.mark.parametrize(
    ("issued", "why", "alert"),
    [
        (DEVICES.issue("alice", begins=-2 * DAY, ends=-MINUTE), "certificate has expired", "CERTIFICATE_EXPIRED"),
        (DEVICES.issue("alice", begins=DAY / 2), "certificate is not yet valid", "BAD_CERTIFICATE"),
        (OTHERS.issue("alice"), "unable to get local issuer certificate", "UNKNOWN_CA"),
        (SITE.issue("alice"), "self-signed certificate in certificate chain", "UNKNOWN_CA"),
        (Authority().issue("alice"), "certificate signature failure", "DECRYPT_ERROR"),
        (DEVICES.issue("alice", purpose="SERVER_AUTH"), "unsuitable certificate purpose", "UNSUPPORTED_CERTIFICATE"),
    ],
    ids=["expired", "early", "foreign", "the server's own authority", "another of the same name", "for servers"],
)
def test_a_certificate_that_is_not_good_fails_in_tls(
    asking: Files, caplog: pytest.LogCaptureFixture, issued: Issued, why: str, alert: str
) -> None:
    """Nobody behind it hears of the client; the log does, and the client learns why (HS-42)."""
    spoken = Spoken(asking.certificates().context, showing(issued, asking.folder), "localhost")
    with caplog.at_level(logging.INFO, "wsauth"), pytest.raises(ssl.SSLCertVerificationError, match=why):
        spoken.handshake()
    with pytest.raises(ssl.SSLError, match=alert):
        spoken.client.read()
    assert told(caplog) == [f"TLS: a client certificate was refused: {why}"]


def test_a_handshake_that_fails_is_told_of(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """Once for each way of failing: who scans the network would fill the log."""
    certificates = files.certificates()
    with caplog.at_level(logging.INFO, "wsauth"):
        for context in (old("ECDHE+AESGCM"), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) * 2:
            spoken = Spoken(certificates.context, context, "localhost")
            with pytest.raises(ssl.SSLError):
                spoken.handshake()
            with suppress(ssl.SSLError):
                spoken.server.do_handshake()
    assert told(caplog) == [
        "TLS: a handshake failed: unsupported protocol",
        "TLS: a handshake failed: tlsv1 alert unknown ca",
    ]


def test_an_authority_is_replaced_like_the_pair(asking: Files) -> None:
    """Whom the new one signs comes in, and whom only the old one signed does not any more."""
    certificates = asking.certificates()
    alice, bob = showing(DEVICES.issue("alice"), asking.folder), showing(OTHERS.issue("bob"), asking.folder)
    before = speak(certificates.context, alice)
    OTHERS.write(asking.folder / "ca.pem")
    assert [certificates.check() for _ in range(2)] == [False, True]
    assert speak(certificates.context, bob).server.getpeercert()
    with pytest.raises(ssl.SSLCertVerificationError):
        speak(certificates.context, alice)
    assert before.say(b"still here") == b"still here"


def test_nobody_resumes_where_certificates_count(asking: Files) -> None:
    """Resuming shows no certificate: that of two hours ago would count, though it has expired since."""
    context = asking.certificates().context
    alice = showing(DEVICES.issue("alice"), asking.folder)
    first = speak(context, alice)
    first.say(b"x")
    assert not speak(context, alice, session=first.client.session).client.session_reused


def test_an_authority_is_trusted_for_itself(tmp_path: Path) -> None:
    """An intermediate one in the file needs no root there, and does not bring its siblings with it."""
    europe, asia = (Authority((("COMMON_NAME", name),), above=DEVICES) for name in ("Europe", "Asia"))
    context = Files(tmp_path, tls_client_ca=str(europe.write(tmp_path / "ca.pem"))).certificates().context
    assert speak(context, showing(europe.issue("alice"), tmp_path)).server.getpeercert()
    for stranger in (asia.issue("alice"), DEVICES.issue("alice")):
        with pytest.raises(ssl.SSLCertVerificationError):
            speak(context, showing(stranger, tmp_path))
