"""Client certificates: TLS has verified them; here they become identities."""

from pathlib import Path

from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.errors import Refused
from wsauth.services.authorities import Authorities

__all__ = ["CertificateVerifier"]


class CertificateVerifier:
    """Say whose a client certificate is.

    An identity's issuer is the name of the authority that signed the certificate itself, and only the authorities in
    the file are issuers: an intermediate one has to stand there too. An authority that is taken out lets nobody in
    any more, from the next handshake on.

    Args:
        file: the PEM file of `server.tls_client_ca`.

    Raises:
        ConfigurationError: the file cannot be read, or there is no authority in it.
    """

    def __init__(self, file: str | Path) -> None:
        self._authorities = Authorities(str(file))

    def __repr__(self) -> str:
        return f"CertificateVerifier({self._authorities.file!r})"

    @property
    def issuers(self) -> frozenset[str]:
        """Return the names of the authorities."""
        return self._authorities.names

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return whose certificate it is, or `None` when it is none.

        Raises:
            Refused: `credentials_invalid`: the authority that signed it is not in the file.
        """
        certificate = credentials.certificate
        if certificate is None:
            return None
        if certificate.issuer not in self.issuers:
            raise Refused(
                "credentials_invalid",
                f"the client certificate {certificate.serial} was signed by {certificate.issuer}",
                mend=f"add the certificate of that authority to {self._authorities.file} (server.tls_client_ca)",
            )
        return Identity(
            certificate.subject,
            issuer=certificate.issuer,
            expires_at=certificate.not_after,
            token_id=certificate.serial,
            claims={"iat": certificate.not_before, "serial": certificate.serial},
        )
