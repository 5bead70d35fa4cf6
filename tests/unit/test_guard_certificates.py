"""Revocations where client certificates are taken: which authority is meant, and that they outlive certificates."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.authorities import Authority
from wsauth.core.identity import OWN_ISSUER, Identity
from wsauth.errors import Refused
from wsauth.guard import Guard
from wsauth.guard.configured import backend_of, guard_of
from wsauth.settings import Settings
from wsauth.testing import FakeClock

DEVICES = Authority()
YEAR = 365 * 86_400.0


@asynccontextmanager
async def guarded(folder: Path, clock: FakeClock, *, certificates: bool = True) -> AsyncGenerator[Guard]:
    """Be a process of a server at this time."""
    tls = {"tls_client_ca": str(DEVICES.write(folder / "ca.pem"))} if certificates else {}
    store = {"url": f"sqlite:///{folder}/wsauth.db", "key_file": f"{folder}/wsauth.key"}
    settings = Settings.model_validate({"server": tls, "store": store})
    async with guard_of(settings, backend_of(settings, clock=clock)) as guard:
        yield guard


def alice(clock: FakeClock, issuer: str = "CN=Devices") -> Identity:
    """Return who has a certificate that is a day old and good for ten years."""
    now = clock.now()
    return Identity(
        "alice", issuer=issuer, token_id="0A", expires_at=now + 10 * YEAR, claims={"iat": now - 86_400, "serial": "0A"}
    )


@pytest.mark.parametrize("named", ["subject", "token", "by hand", "all"])
async def test_a_revoked_certificate_stays_revoked(tmp_path: Path, named: str) -> None:
    """After a year, in a process that was not there: it would be good for nine more."""
    clock = FakeClock()
    revoked = alice(clock)
    async with guarded(tmp_path, clock) as guard:
        if named == "subject":
            await guard.revoke(subject="alice", issuer="CN=Devices")
        elif named == "token":
            await guard.revoke(token_id="0A", issuer="CN=Devices")
        elif named == "by hand":
            await guard.backend.revoke(subject="alice", issuer="CN=Devices")
        else:
            await guard.backend.revoke_all()
    clock.advance(YEAR)
    async with guarded(tmp_path, clock) as guard:
        found = guard.connections.revocations.check(revoked, revoked.claims["iat"])
        assert found is not None
        assert found.code == "token_revoked"
        renewed = Identity("alice", issuer="CN=Devices", token_id="0B")
        assert guard.connections.revocations.check(renewed, clock.now()) is None


@pytest.mark.parametrize(("issuer", "certificates"), [(OWN_ISSUER, True), ("CN=Devices", False)])
async def test_no_other_revocation_is_kept_for_ever(tmp_path: Path, issuer: str, certificates: bool) -> None:
    """What lives a day is forgotten after it."""
    clock = FakeClock()
    async with guarded(tmp_path, clock, certificates=certificates) as guard:
        await guard.revoke(token_id="0A", issuer=issuer)
    clock.advance(YEAR)
    async with guarded(tmp_path, clock, certificates=certificates) as guard:
        assert guard.connections.revocations.check(alice(clock, issuer), clock.now()) is None


async def test_without_an_issuer_nobody_is_guessed(tmp_path: Path) -> None:
    """Alice may be a user of ours and a device of that name, which is not connected just now."""
    async with guarded(tmp_path, FakeClock()) as guard:
        for named in ({"subject": "alice"}, {"token_id": "0A"}):
            with pytest.raises(Refused, match="CN=Devices") as refused:
                await guard.revoke(**named)
            assert refused.value.code == "conflict"
