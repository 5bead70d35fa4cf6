"""Whom a client certificate names (RFC 5280), from what the TLS library says about it (`SSLObject.getpeercert`).

TLS has checked signature, authority and time by then. Here it is only read, and strictly: a name that is not there,
that is there twice, or that holds what no name holds, names nobody.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

import msgspec

from wsauth.errors import Refused

__all__ = ["CERTIFICATE_SUBJECTS", "Certificate", "CertificateSubject", "distinguished_name", "read_certificate"]

CertificateSubject = Literal["cn", "dns", "email", "uri"]
CERTIFICATE_SUBJECTS: Final[tuple[CertificateSubject, ...]] = get_args(CertificateSubject)

_ALTERNATIVE: Final = {"dns": "DNS", "email": "email", "uri": "URI"}
_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""The table of RFC 4514 section 3; other attributes keep the library's name, or their number."""
_ESCAPED: Final = re.compile(r'[\\",+;<>]|^[ #]| $')
_SERIAL: Final = re.compile(r"-?[0-9A-F]+", re.ASCII)
_MOMENT: Final = re.compile(r"([A-Z][a-z]{2}) ([ 0-9][0-9]) (\d\d):(\d\d):(\d\d) (\d{4}) GMT", re.ASCII)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Certificate(msgspec.Struct, frozen=True):
    """Hold what a verified client certificate says.

    Attributes:
        subject: whom it names, by the route's `certificate_subject`.
        issuer: the authority's distinguished name, as `distinguished_name` writes it.
        serial: its number at that authority, in hexadecimal.
        not_before: seconds since the epoch.
        not_after: the same.
    """

    subject: str
    issuer: str
    serial: str
    not_before: float
    not_after: float


def read_certificate(presented: Mapping[str, Any], kind: CertificateSubject) -> Certificate:
    """Read a certificate that TLS has verified.

    Args:
        presented: what `SSLObject.getpeercert()` returned.
        kind: what of it is the subject: the common name, or the one alternative name of a kind.

    Raises:
        Refused: `credentials_invalid`: it names nobody, or several, or something in it cannot be read.
    """
    serial = presented.get("serialNumber", "")
    if not _SERIAL.fullmatch(serial):
        raise Refused("credentials_invalid", "the client certificate has no serial number, so it could not be revoked")
    named = f"the client certificate {serial}"
    try:
        return Certificate(
            subject=_subject(presented, kind, named),
            issuer=distinguished_name(presented.get("issuer", ())),
            serial=serial,
            not_before=_moment(presented.get("notBefore", "")),
            not_after=_moment(presented.get("notAfter", "")),
        )
    except ValueError as error:
        raise Refused("credentials_invalid", f"{named}: {error}") from None


def distinguished_name(name: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Write a distinguished name as text (RFC 4514): `CN=Devices,O=Example`, the last part first.

    Two different names never give the same text.

    Args:
        name: of `SSLObject.getpeercert()`: parts, each of one or more pairs of an attribute and its value.

    Raises:
        ValueError: it is empty, or there are bytes in it that no name has.
    """
    parts = ["+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in part) for part in reversed(name)]
    if not parts:
        raise ValueError("the authority has no name")
    return ",".join(parts)


def _escaped(value: str) -> str:
    return _ESCAPED.sub(r"\\\g<0>", _clean(value, "the authority's name"))


def _subject(presented: Mapping[str, Any], kind: CertificateSubject, named: str) -> str:
    found = _candidates(presented, kind)
    if len(found) != 1:
        fitting = [other for other in CERTIFICATE_SUBJECTS if len(_candidates(presented, other)) == 1]
        raise Refused(
            "credentials_invalid",
            f"{named} has {len(found)} names of the kind {kind}, and one is needed to know whose it is",
            mend=f'certificate_subject = "{fitting[0]}"' if fitting else f"a certificate with one name of kind {kind}",
        )
    subject = _clean(found[0], f"its {kind}")
    if kind != "dns":
        return subject
    if not subject.isascii() or "*" in subject:
        raise ValueError("its dns is no name of one host")
    return subject.lower()


def _candidates(presented: Mapping[str, Any], kind: CertificateSubject) -> list[str]:
    if kind == "cn":
        return [value for part in presented.get("subject", ()) for name, value in part if name == "commonName"]
    wanted = _ALTERNATIVE[kind]
    return [value for name, value in presented.get("subjectAltName", ()) if name == wanted]


def _clean(value: str, what: str) -> str:
    """Return a name that is no trap in a log, a header or an eye (CVE-2009-2408: a NUL in it)."""
    if not value or not value.isprintable():
        raise ValueError(f"{what} is empty, or has characters that cannot be printed")
    return value


def _moment(text: str) -> float:
    """Return seconds since the epoch of `Jun  9 12:34:56 2031 GMT`."""
    found = _MOMENT.fullmatch(text)
    if found is None or found[1] not in _MONTHS:
        raise ValueError("its time cannot be read")
    month, *numbers = found.groups()
    day, hour, minute, second, year = map(int, numbers)
    return datetime(year, _MONTHS.index(month) + 1, day, hour, minute, second, tzinfo=UTC).timestamp()
