"""The file of those who sign client certificates: its names, what is wrong with it, and what changes."""

import logging
import ssl
from pathlib import Path

import pytest

from tests.authorities import Authority
from wsauth.errors import ConfigurationError
from wsauth.services.authorities import Authorities, load

DEVICES, PEOPLE = Authority(), Authority((("COMMON_NAME", "People"),))


def test_every_authority_in_the_file_is_named(tmp_path: Path) -> None:
    """As the issuer of those whom it signs."""
    file = DEVICES.write(tmp_path / "ca.pem", PEOPLE)
    assert Authorities(str(file)).names == {"CN=Devices", "CN=People"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is no whole PEM file of certificates"),
        (b"hello", "is no whole PEM file of certificates"),
        (DEVICES.pem[:200], "is no whole PEM file of certificates"),
        (DEVICES.pem + PEOPLE.pem[:200], "is no whole PEM file of certificates"),
        (DEVICES.issue("alice").certificate, "has no certificate of an authority in it"),
        (DEVICES.issue("alice").key, "is no whole PEM file of certificates"),
        (Authority((("COMMON_NAME", "a\nb"),)).pem, "cannot be printed"),
        (None, "No such file or directory"),
    ],
    ids=["empty", "text", "half", "one and a half", "nobody's authority", "key", "line end in name", "missing"],
)
def test_a_file_without_an_authority_is_refused_with_its_key_and_name(
    tmp_path: Path, content: bytes | None, text: str
) -> None:
    """One line: the key, the file, what is wrong, the mend."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=text) as refused:
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), str(file))
    assert str(refused.value).startswith(f"server.tls_client_ca: {file}")
    assert "; " in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_new_file_counts_at_once_and_a_broken_one_does_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The names are those of the file as it is; while it is half written, those of before, with one line."""
    file = DEVICES.write(tmp_path / "ca.pem")
    authorities = Authorities(str(file))
    PEOPLE.write(file)
    assert authorities.names == {"CN=People"}
    file.write_bytes(b"half")
    with caplog.at_level(logging.ERROR, "wsauth"):
        assert authorities.names == authorities.names == {"CN=People"}
    assert [record.message.split(": ")[0] for record in caplog.records] == ["server.tls_client_ca"]
    file.unlink()
    assert authorities.names == {"CN=People"}
    DEVICES.write(file, PEOPLE)
    assert authorities.names == {"CN=Devices", "CN=People"}
