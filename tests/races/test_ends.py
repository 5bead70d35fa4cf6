"""What only shows with two processes, or in an unlucky order."""

from pathlib import Path

import pytest

from tests.races.world import Process, process
from wsauth import ConfigurationError, Identity, Refused
from wsauth.guard.backend import Backend
from wsauth.testing import FakeClock


async def test_a_subject_is_ambiguous_whoever_is_asked(here: Process, there: Process) -> None:
    """Somebody of that name and another issuer is connected to another process: which one is meant has to be said."""
    ticket = await there.guard.issue_ticket(Identity("bob", issuer="shop"))
    face = await there.connected(there.begin(query=f"ticket={ticket}"))
    for order in (here.guard.disconnect, here.guard.revoke, there.guard.revoke):
        with pytest.raises(Refused) as refused:
            await order(subject="bob")
        assert refused.value.code == "conflict"
    assert face.open
    report = await here.guard.disconnect(subject="bob", issuer="shop")
    assert (report.matched, report.closed) == (1, 1)


async def test_an_end_is_remembered_for_whoever_asks_later(here: Process) -> None:
    """A connection that ended before anybody waited for it is no longer waited for."""
    face = await here.connected(here.bearer(here.access(await here.login("bob"))))
    face.connection.ended("closed")
    face.connection.ended("cut")
    assert face.connection.ending().result() == "closed"


async def test_a_missing_key_file_is_named_and_none_is_made(tmp_path: Path, clock: FakeClock) -> None:
    """A store whose key file is gone is refused with the mend, and no new key stands in its place."""
    async with process(tmp_path, clock):
        pass
    key_file = tmp_path / "wsauth.key"
    key_file.unlink()
    with pytest.raises(ConfigurationError, match=r"wsauth\.key is not there"):
        Backend(f"sqlite:///{tmp_path}/wsauth.db", key_file, clock)
    assert not key_file.exists()
