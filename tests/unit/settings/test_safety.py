"""What is refused at start, whoever wants it."""

from pathlib import Path

import pytest
import trustme

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
