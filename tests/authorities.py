"""Authorities for the tests of TLS: they sign for servers and for clients, also what nobody should."""

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa as rsa_keys
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Issued", "presented"]

Key = EllipticCurvePrivateKey | rsa_keys.RSAPrivateKey
_DAY = timedelta(days=1)
_FORMS: dict[str, Callable[[str], x509.GeneralName]] = {
    "dns": x509.DNSName,
    "email": x509.RFC822Name,
    "uri": x509.UniformResourceIdentifier,
    "ip": lambda text: x509.IPAddress(ip_address(text)),
}


class Issued:
    """Be a certificate and its key.

    Attributes:
        certificate: PEM; after it the intermediate authority's, where one signed it.
        key: PEM.
        serial: as the TLS library writes it.
    """

    def __init__(self, chain: Sequence[x509.Certificate], key: Key) -> None:
        self.certificate = b"".join(each.public_bytes(Encoding.PEM) for each in chain)
        self.key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.serial = f"{chain[0].serial_number:X}".zfill(len(f"{chain[0].serial_number:X}") + 1 & ~1)

    def write(self, folder: Path, name: str = "client") -> tuple[Path, Path]:
        """Write both, and return their paths."""
        files = folder / f"{name}.pem", folder / f"{name}.key"
        files[0].write_bytes(self.certificate)
        files[1].write_bytes(self.key)
        return files

    def load(self, context: ssl.SSLContext, folder: Path) -> None:
        """Have a context present it."""
        context.load_cert_chain(*self.write(folder, f"loaded-{self.serial}"))


class Authority:
    """Sign certificates.

    Args:
        name: its distinguished name, first part first: pairs of a name of `NameOID` and a text.
        above: who signed the authority's own certificate; by default itself.
    """

    def __init__(
        self, name: Sequence[tuple[str, str]] = (("COMMON_NAME", "Devices"),), above: "Authority | None" = None
    ):
        self._key = generate_private_key(SECP256R1())
        self.name = _name(name)
        self._above = above
        signed_by = self if above is None else above
        self._own = (
            _builder(self.name, signed_by.name, self._key, -_DAY, 365 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signed_by._key, SHA256())
        )
        self.pem = self._own.public_bytes(Encoding.PEM)

    def write(self, file: Path, *others: "Authority") -> Path:
        """Write its certificate, and those of others, to a file."""
        file.write_bytes(b"".join(each.pem for each in (self, *others)))
        return file

    def trust(self, context: ssl.SSLContext) -> None:
        """Have a context trust it."""
        context.load_verify_locations(cadata=self.pem.decode())

    def issue(
        self,
        cn: str | Sequence[str] = (),
        *,
        begins: timedelta = -_DAY,
        ends: timedelta = _DAY,
        more: Sequence[tuple[str, str]] = (),
        dns: str | Sequence[str] = (),
        email: str | Sequence[str] = (),
        uri: str | Sequence[str] = (),
        ip: str | Sequence[str] = (),
        purpose: Literal["", "CLIENT_AUTH", "SERVER_AUTH"] = "",
        rsa: bool = False,
    ) -> Issued:
        """Sign a certificate.

        Args:
            cn: its common names.
            begins: when it begins, from now.
            ends: when it ends, from now.
            more: what else is in its subject.
            dns: its alternative names, of this kind and the next three.
            email: the same.
            uri: the same.
            ip: the same.
            purpose: what alone it is good for.
            rsa: its key is an RSA key.
        """
        key = rsa_keys.generate_private_key(65537, 2048) if rsa else generate_private_key(SECP256R1())
        parts = [*more, *(("COMMON_NAME", value) for value in _list(cn))]
        builder = _builder(_name(parts), self.name, key, begins, ends)
        alternatives = {"dns": dns, "email": email, "uri": uri, "ip": ip}
        names = [_FORMS[form](value) for form, values in alternatives.items() for value in _list(values)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if purpose:
            usage = x509.ExtendedKeyUsage([getattr(ExtendedKeyUsageOID, purpose)])
            builder = builder.add_extension(usage, critical=False)
        signed = builder.sign(self._key, SHA256())
        return Issued([signed] if self._above is None else [signed, self._own], key)

    @cache  # noqa: B019  a few for each run
    def server(self) -> Issued:
        """Sign for a server on this machine."""
        return self.issue("localhost", dns="localhost", ip="127.0.0.1")


def presented(issued: Issued, trusted: Authority, folder: Path) -> dict[str, Any]:
    """Return what the TLS library says about a client's certificate, after a handshake in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    trusted.trust(server)
    trusted.server().load(server, folder)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted.trust(client)
    issued.load(client, folder)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
            if end.server_side:
                found: dict[str, Any] | None = end.getpeercert()
                assert found is not None
                return found
    raise AssertionError("the server never finished")


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: timedelta, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )


def _name(parts: Sequence[tuple[str, str]]) -> x509.Name:
    return x509.Name([x509.NameAttribute(getattr(NameOID, kind), value) for kind, value in parts])


def _list(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
