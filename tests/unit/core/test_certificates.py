"""Client certificates, as the TLS library tells of them: whom they name, and by whom."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.authorities import Authority, presented
from wsauth.core.certificates import CERTIFICATE_SUBJECTS, CertificateSubject, distinguished_name, read_certificate
from wsauth.errors import Refused

DEVICES = (("COUNTRY_NAME", "DE"), ("ORGANIZATION_NAME", "Example, Inc."), ("COMMON_NAME", "Devices"))


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Be the authority of everybody here."""
    return Authority(DEVICES)


def told(**parts: Any) -> dict[str, Any]:
    """Return what the library would say."""
    return {
        "subject": ((("organizationName", "Example"),), (("commonName", "alice"),)),
        "issuer": ((("commonName", "Devices"),),),
        "version": 3,
        "serialNumber": "0A1B",
        "notBefore": "Jan  2 03:04:05 2026 GMT",
        "notAfter": "Dec 31 23:59:59 2031 GMT",
        "subjectAltName": (("DNS", "a.example"), ("email", "a@b.example"), ("URI", "urn:a")),
        **parts,
    }


def refusal(found: dict[str, Any], kind: CertificateSubject) -> Refused:
    """Return why a certificate names nobody."""
    with pytest.raises(Refused) as refused:
        read_certificate(found, kind)
    assert refused.value.code == "credentials_invalid"
    return refused.value


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("cn", "Älice von B, Sensor #7"),
        ("dns", "sensor-7.example"),
        ("email", "Sensor.7@Example.com"),
        ("uri", "spiffe://example/sensor/7"),
    ],
)
def test_a_real_certificate_names_its_subject_and_its_authority(
    authority: Authority, tmp_path: Path, kind: CertificateSubject, subject: str
) -> None:
    """The mapped name is the subject; DNS names, which know no letter case, are folded."""
    issued = authority.issue(
        "Älice von B, Sensor #7",
        dns="Sensor-7.Example",
        email="Sensor.7@Example.com",
        uri="spiffe://example/sensor/7",
        ends=timedelta(days=2),
    )
    found = read_certificate(presented(issued, authority, tmp_path), kind)
    assert found.subject == subject
    assert found.issuer == r"CN=Devices,O=Example\, Inc.,C=DE"
    assert found.serial == issued.serial
    assert found.not_after - time.time() == pytest.approx(2 * 86_400, abs=120)
    assert time.time() - found.not_before == pytest.approx(86_400, abs=120)


@pytest.mark.parametrize("kind", CERTIFICATE_SUBJECTS)
def test_without_a_name_of_the_kind_it_names_nobody(
    authority: Authority, tmp_path: Path, kind: CertificateSubject
) -> None:
    """A certificate for an address only, or with an empty subject, is refused, and the line says what is missing."""
    found = presented(authority.issue(ip="192.0.2.1"), authority, tmp_path)
    error = refusal(found, kind)
    assert error.mend == f"a certificate with one name of kind {kind}"
    assert f"0 names of the kind {kind}" in error.reason


@pytest.mark.parametrize("kind", CERTIFICATE_SUBJECTS)
def test_with_several_names_of_the_kind_it_names_nobody(
    authority: Authority, tmp_path: Path, kind: CertificateSubject
) -> None:
    """Which of the two is meant nobody can say, so neither is."""
    one = {"cn": "alice", "dns": "a.example", "email": "a@b.example", "uri": "urn:a"}
    several = {name: [value, f"{value}b"] if name == kind else [value] for name, value in one.items()}
    issued = authority.issue(several["cn"], dns=several["dns"], email=several["email"], uri=several["uri"])
    found = presented(issued, authority, tmp_path)
    error = refusal(found, kind)
    assert "2 names" in error.reason
    assert error.mend == ('certificate_subject = "dns"' if kind == "cn" else 'certificate_subject = "cn"')


def test_a_nul_in_a_name_is_refused(authority: Authority, tmp_path: Path) -> None:
    """`alice\\0.mallory.example` is not alice (CVE-2009-2408)."""
    found = presented(authority.issue("alice\0mallory", dns="a.example\0.mallory"), authority, tmp_path)
    for kind in ("cn", "dns"):
        assert "cannot be printed" in refusal(found, kind).reason


@pytest.mark.parametrize("name", ["", "a\nb", "a\x7fb", "a\u202eb", "a\u2028b", "a\x85b", "\ud800"])
def test_what_cannot_be_printed_is_no_name(name: str) -> None:
    """Line ends, directions and nothing at all would deceive whoever reads the log."""
    refusal(told(subject=((("commonName", name),),)), "cn")
    refusal(told(subjectAltName=(("URI", name),)), "uri")
    refusal(told(issuer=((("commonName", name),),)), "cn")


@pytest.mark.parametrize("name", ["*.example", "*", "bücher.example"])
def test_a_dns_name_is_the_name_of_one_host(name: str) -> None:
    """A wildcard names nobody, and a name that is not ASCII is no DNS name."""
    assert "no name of one host" in refusal(told(subjectAltName=(("DNS", name),)), "dns").reason


@pytest.mark.parametrize(
    "parts",
    [
        {"serialNumber": ""},
        {"serialNumber": "0a1b"},
        {"issuer": ()},
        {"notAfter": ""},
        {"notAfter": "Dec 31 23:59:59 2031"},
        {"notAfter": "Foo 31 23:59:59 2031 GMT"},
        {"notAfter": "Feb 30 23:59:59 2031 GMT"},
        {"notAfter": "Bad time value"},
        {"notBefore": "Jan  2 03:04:61 2026 GMT"},
    ],
)
def test_what_cannot_be_read_is_refused(parts: dict[str, Any]) -> None:
    """Without a number it could not be revoked, without an authority it has no issuer, without a time no end."""
    refusal(told(**parts), "cn")


def test_times_are_those_of_the_certificate() -> None:
    """To the second, up to the end of the calendar (RFC 5280 section 4.1.2.5)."""
    found = read_certificate(told(notAfter="Dec 31 23:59:59 9999 GMT"), "cn")
    assert (found.not_before, found.not_after) == (1767323045.0, 253402300799.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (((("countryName", "DE"),), (("organizationName", "A"),), (("commonName", "B"),)), "CN=B,O=A,C=DE"),
        (((("domainComponent", "example"),), (("domainComponent", "a"),)), "DC=a,DC=example"),
        (((("commonName", "B"), ("userId", "7")),), "CN=B+UID=7"),
        (((("commonName", 'a,b+c"d\\e<f>g;h=i'),),), r"CN=a\,b\+c\"d\\e\<f\>g\;h=i"),
        (((("commonName", " a b "),),), r"CN=\ a b\ "),
        (((("commonName", "#a#"),),), r"CN=\#a#"),
        (((("commonName", " "),),), r"CN=\ "),
        (((("emailAddress", "a@b.example"),), (("1.2.3.4", "x"),)), "1.2.3.4=x,emailAddress=a@b.example"),
    ],
)
def test_a_name_is_written_as_rfc_4514_says(name: Any, text: str) -> None:
    """The last part comes first, and what separates parts is escaped where it is part of a value."""
    assert distinguished_name(name) == text


def test_two_names_never_give_one_text() -> None:
    """Mallory Ltd. cannot call itself `Devices,O=Example` and be taken for Example's."""
    honest = ((("organizationName", "Example"),), (("commonName", "Devices"),))
    forged = ((("commonName", "Devices,O=Example"),),)
    multiple = ((("commonName", "Devices"), ("organizationName", "Example")),)
    texts = {distinguished_name(name) for name in (honest, honest[::-1], forged, multiple)}
    assert len(texts) == 4
