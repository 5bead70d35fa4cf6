"""The verifier of client certificates."""

from pathlib import Path

import pytest

from tests.authorities import Authority, presented
from wsauth.core.certificates import Certificate, read_certificate
from wsauth.core.credentials import Credentials
from wsauth.errors import Refused
from wsauth.verifiers.certificate import CertificateVerifier

DEVICES = Authority()
MALLORY = Authority((("COMMON_NAME", "Mallory"),))


def credentials(certificate: Certificate) -> Credentials:
    """Present a certificate."""
    return Credentials("certificate", "", source="certificate", certificate=certificate)


async def test_a_certificate_becomes_an_identity(tmp_path: Path) -> None:
    """The authority is the issuer, the number can be revoked, the end is the lease's, and no role comes with it."""
    issued = DEVICES.issue("alice")
    certificate = read_certificate(presented(issued, DEVICES, tmp_path), "cn")
    found = await CertificateVerifier(DEVICES.write(tmp_path / "ca.pem")).verify(credentials(certificate))
    assert found is not None
    assert found.key == ("CN=Devices", "alice")
    assert found.token_id == issued.serial
    assert ("token", "CN=Devices", issued.serial) in found.handles
    assert found.expires_at == certificate.not_after
    assert found.claims == {"iat": certificate.not_before, "serial": issued.serial}
    assert (found.roles, found.permissions, found.session_id) == ((), (), None)


@pytest.mark.parametrize(
    "presented",
    [
        Credentials("token", "t", source="header"),
        Credentials("ticket", "t", source="ticket"),
        Credentials("password", "p", source="basic", username="alice"),
    ],
    ids=lambda each: each.kind,
)
async def test_everything_else_is_somebody_elses_to_judge(tmp_path: Path, presented: Credentials) -> None:
    """It answers only certificates."""
    assert await CertificateVerifier(DEVICES.write(tmp_path / "ca.pem")).verify(presented) is None


async def test_only_authorities_in_the_file_are_issuers(tmp_path: Path) -> None:
    """One below them is trusted by TLS, but could call itself anything; the log names it, and what to do."""
    below = Authority((("COMMON_NAME", "Devices EU"),), above=DEVICES)
    certificate = read_certificate(presented(below.issue("alice"), DEVICES, tmp_path), "cn")
    file = DEVICES.write(tmp_path / "ca.pem")
    verifier = CertificateVerifier(file)
    with pytest.raises(Refused) as refused:
        await verifier.verify(credentials(certificate))
    assert refused.value.code == "credentials_invalid"
    assert "CN=Devices EU" in refused.value.reason
    assert str(file) in refused.value.mend
    DEVICES.write(file, below)
    found = await verifier.verify(credentials(certificate))
    assert found is not None
    assert found.issuer == "CN=Devices EU"


async def test_an_authority_that_was_taken_out_lets_nobody_in(tmp_path: Path) -> None:
    """Also not on a connection whose TLS is older than that."""
    certificate = read_certificate(presented(DEVICES.issue("alice"), DEVICES, tmp_path), "cn")
    file = DEVICES.write(tmp_path / "ca.pem", MALLORY)
    verifier = CertificateVerifier(file)
    assert verifier.issuers == {"CN=Devices", "CN=Mallory"}
    MALLORY.write(file)
    with pytest.raises(Refused, match="signed by CN=Devices"):
        await verifier.verify(credentials(certificate))
