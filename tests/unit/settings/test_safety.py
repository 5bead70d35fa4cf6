"""What is refused at start, whoever wants it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.settings.reading import Folder


@pytest.fixture
def pair(folder: Folder) -> str:
    """Write a certificate and its key, and return the lines that name them."""
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder.path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder.path / "certificate.pem")
    return '[server]\ntls_certificate = "certificate.pem"\ntls_key = "key.pem"\n'


EVERYWHERE = "0.0.0.0"  # noqa: S104 -- nothing listens here


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.7", "[2001:db8::7]", "ws.example.com"])
def test_plain_text_stays_on_this_machine(folder: Folder, host: str) -> None:
    """An address that others reach is refused without TLS, and the line says the three ways out."""
    line = folder.refused("", None, {"host": host})
    assert line.startswith(f'--host: server.host = "{host.strip("[]")}" is reached by other machines')
    assert all(key in line for key in ("tls_certificate", "trusted_proxies", "insecure_plaintext = true"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
def test_loopback_may_be_plain(folder: Folder, host: str) -> None:
    """Only this machine reaches it."""
    assert folder.load("", None, {"host": host}).server.host == host.strip("[]")


@pytest.mark.parametrize("key", ["insecure_plaintext = true", 'trusted_proxies = ["private"]'])
def test_plain_text_may_be_asked_for(folder: Folder, key: str) -> None:
    """Whoever says so, or has a proxy that ends TLS, may."""
    assert folder.load(f'[server]\nhost = "{EVERYWHERE}"\n{key}').server.host == EVERYWHERE


def test_tls_opens_every_address(folder: Folder, pair: str) -> None:
    """With a certificate both listeners may be reached by others."""
    settings = folder.load(f'{pair}host = "0.0.0.0"\n[admin]\nlisten = "0.0.0.0:8081"')
    assert settings.server.tls
    assert settings.server.tls_key == str(folder.path / "key.pem")


def test_a_certificate_needs_its_key(folder: Folder, pair: str) -> None:
    """One without the other is refused, and so are two that do not fit."""
    lone = folder.refused('[server]\ntls_key = "key.pem"')
    assert lone == f"{folder.file}: server.tls_key has no server.tls_certificate: write both or none"
    other = trustme.CA().issue_cert("localhost")
    other.private_key_pem.write_to_path(folder.path / "key.pem")
    assert "server.tls_certificate and server.tls_key are no pair" in folder.refused(pair)


def test_files_must_be_there(folder: Folder, pair: str) -> None:
    """What cannot be read is named."""
    Path(folder.path / "key.pem").unlink()
    assert f"server.tls_key: {folder.path}/key.pem: No such file" in folder.refused(pair)


def test_client_certificates_take_tls(folder: Folder, pair: str) -> None:
    """Without a certificate of our own nobody is asked for theirs."""
    trustme.CA().cert_pem.write_to_path(folder.path / "ca.pem")
    line = folder.refused('[server]\ntls_client_ca = "ca.pem"')
    assert line.startswith(f"{folder.file}: server.tls_client_ca asks for certificates, which takes TLS: write")
    assert folder.load(f'{pair}tls_client_ca = "ca.pem"').server.tls_client_ca == str(folder.path / "ca.pem")


@pytest.mark.parametrize(
    "content", [b"", b"nothing\n", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_an_authority_is_a_certificate(folder: Folder, pair: str, content: bytes) -> None:
    """A file without one would trust nobody, or would be found out when the first client comes."""
    (folder.path / "ca.pem").write_bytes(content)
    said = f"{folder.path}/ca.pem holds no certificate in PEM; name a file of the authority's"
    assert folder.refused(f'{pair}tls_client_ca = "ca.pem"') == f"{folder.file}: server.tls_client_ca: {said}"
    route = '[[routes]]\nupstream = "wss://a"\nupstream_ca = "ca.pem"'
    assert folder.refused(route) == f"{folder.file}: routes[0].upstream_ca: {said}"
    (folder.path / "ca.pem").unlink()
    assert f"server.tls_client_ca: {folder.path}/ca.pem: No such file" in folder.refused(
        f'{pair}tls_client_ca = "ca.pem"'
    )
    assert f"routes[0].upstream_ca: {folder.path}/ca.pem: No such file" in folder.refused(route)


def test_a_key_alone_is_no_authority(folder: Folder, pair: str) -> None:
    """It is PEM, and vouches for nobody."""
    line = folder.refused(f'{pair}tls_client_ca = "key.pem"')
    assert line.startswith(f"{folder.file}: server.tls_client_ca: {folder.path}/key.pem holds no certificate")


def test_a_list_of_revoked_certificates_is_no_authority(folder: Folder, pair: str) -> None:
    """OpenSSL reads it from such a file too, and nobody would be trusted."""
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Mallory")])
    revoked = x509.CertificateRevocationListBuilder(name, now, now + timedelta(days=1))
    signed = revoked.sign(Ed25519PrivateKey.generate(), None)
    (folder.path / "ca.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    assert "ca.pem holds no certificate in PEM" in folder.refused(f'{pair}tls_client_ca = "ca.pem"')


def test_certificates_are_a_source_where_they_are_asked_for(folder: Folder, pair: str) -> None:
    """Who writes the source without the authority would let nobody in."""
    trustme.CA().cert_pem.write_to_path(folder.path / "ca.pem")
    route = '[[routes]]\nupstream = "echo"\nsources = ["header", "certificate"]'
    assert folder.refused(f"{pair}{route}") == (
        f'{folder.file}: routes[0].sources has "certificate", and nobody is asked for one: write server.tls_client_ca, '
        'or leave "certificate" out'
    )
    settings = folder.load(f'{pair}tls_client_ca = "ca.pem"\n{route}')
    assert settings.routes[0].sources == ("header", "certificate")


@pytest.mark.parametrize("upstream", ['"ws://127.0.0.1"', '"echo"', '"unix:/a.sock"', '["ws://a", "unix:/b"]'])
@pytest.mark.parametrize("key", ["upstream_ca", "upstream_certificate", "upstream_key"])
def test_certificates_are_for_tls(folder: Folder, pair: str, upstream: str, key: str) -> None:
    """Nobody believes in a protection that is not there."""
    line = folder.refused(f'{pair}[[routes]]\nupstream = {upstream}\n{key} = "certificate.pem"')
    assert line.startswith(f"{folder.file}: routes[0].{key} is for wss:// upstreams, of which there is none here")


def test_our_certificate_needs_its_key(folder: Folder, pair: str) -> None:
    """As the server's does: both or none, readable, and of each other."""
    route = f'{pair}[[routes]]\nupstream = ["ws://127.0.0.1", "wss://a"]\n'
    both = f'{route}upstream_certificate = "certificate.pem"\nupstream_key = "other.pem"'
    lone = folder.refused(f'{route}upstream_certificate = "certificate.pem"')
    assert lone == (f"{folder.file}: routes[0].upstream_certificate has no routes[0].upstream_key: write both or none")
    assert f"routes[0].upstream_key: {folder.path}/other.pem: No such file" in folder.refused(both)
    trustme.CA().issue_cert("a").private_key_pem.write_to_path(folder.path / "other.pem")
    assert "routes[0].upstream_certificate and routes[0].upstream_key are no pair" in folder.refused(both)
    loaded = folder.load(both.replace("other.pem", "key.pem")).routes[0]
    assert (loaded.upstream_certificate, loaded.upstream_key) == tuple(
        str(folder.path / name) for name in ("certificate.pem", "key.pem")
    )


def test_a_path_is_written_once(folder: Folder) -> None:
    """An upstream's own path and upstream_path would both stand in place of the client's."""
    line = folder.refused('[[routes]]\nupstream = ["ws://a/c", "ws://b/c"]\nupstream_path = "/d"')
    assert line == (
        f"{folder.file}: routes[0].upstream_path stands beside a path in routes[0].upstream: write one of them"
    )
    assert folder.load('[[routes]]\nupstream = "ws://a/"\nupstream_path = "/d"').routes[0].upstream_path == "/d"


@pytest.mark.parametrize("listen", ["0.0.0.0:8081", "[::]:8081", "192.0.2.7:0"])
def test_the_admin_api_stays_on_this_machine(folder: Folder, listen: str) -> None:
    """A proxy in front of the server is none in front of the admin API."""
    toml = f'[server]\ntrusted_proxies = ["private"]\n[admin]\nlisten = "{listen}"'
    assert folder.refused(toml).startswith(f'{folder.file}: admin.listen = "{listen}" is reached by other machines')


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:8081", ("::1", 8081)), ("off", None), ("", None)],
)
def test_where_the_admin_api_listens(folder: Folder, listen: str, address: tuple[str, int] | None) -> None:
    """The text is read once, here."""
    assert folder.load(f'[admin]\nlisten = "{listen}"').admin.address == address


def test_every_page_and_the_cookie_do_not_go_together(folder: Folder) -> None:
    """Mallory's page must not use Alice's login (ATTACKS HS-15)."""
    everywhere = '[server]\norigins = ["*"]\n'
    assert folder.refused(everywhere).startswith(f'{folder.file}: server.origins = ["*"] lets every page use')
    here = '[[routes]]\nupstream = "echo"\norigins = ["*"]\n'
    assert folder.refused(here).startswith(f'{folder.file}: routes[0].origins = ["*"] lets every page use')
    assert folder.load(f'{here}sources = ["header", "ticket"]').routes[0].origins == ("*",)
    settings = folder.load(f'{everywhere}[[routes]]\nupstream = "echo"\nsources = ["ticket"]')
    assert not settings.takes_cookies


def test_password_lengths_must_leave_room(folder: Folder) -> None:
    """No password is both longer and shorter."""
    assert "passwords.maximum_length is under" in folder.refused("[passwords]\nminimum_length = 300")
