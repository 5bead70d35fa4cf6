"""ATTACKS.md, LG-09: the audit log cannot be written any more."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.allowing import FREELY
from tests.attacks.wire import frame, request, wire
from tests.end_to_end.guarded import serving
from wsauth import Guard, Identity
from wsauth.core.audit import Row
from wsauth.services import audit
from wsauth.verifiers.password import PasswordVerifier

WAITING = 6


async def _nobody(username: str, password: str) -> None:
    del username, password


async def test_lg_09_nobody_new_comes_in_while_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: newcomers get 503, the open socket echoes on, and afterwards an entry says how much is missing."""
    monkeypatch.setattr(audit, "_AGAIN", 0.05)
    guard = Guard(
        verifiers=[PasswordVerifier(_nobody)],
        origins=[],
        store=f"sqlite:///{tmp_path}/wsauth.db",
        key_file=tmp_path / "wsauth.key",
        allowances=FREELY,
    )
    store, trail = guard.backend.store, guard.backend.trail
    assert store is not None
    assert trail is not None
    monkeypatch.setattr(trail, "_limit", WAITING)
    write, full = store.audit.sink.write, True

    def fail(rows: Sequence[Row]) -> None:
        if full:
            raise OSError(28, "No space left on device")
        write(rows)

    async with serving(guard) as place:
        port = int(place.rpartition(":")[2])
        ticket = await guard.issue_ticket(Identity("ann", issuer="test"))
        async with wire(port, request(f"/ws?ticket={ticket}")) as client:
            assert (await client.answer(within=10)).status == 101
            monkeypatch.setattr(store.audit.sink, "write", fail)
            said = []
            for number in range(4 * WAITING):
                async with wire(port, request(f"/ws{number}", "Authorization: Bearer x.y.z")) as stranger:
                    said.append((await stranger.answer(within=10)).status)
            assert said[0] == 401
            assert set(said[-WAITING:]) == {503}
            client.send(frame("hello"))
            assert await client.text(within=10) == "hello"
            full = False
            while guard.connections.closed_to_new() is not None:
                client.send(frame("again"))
                assert await client.text(within=10) == "again"
    with closing(sqlite3.connect(tmp_path / "wsauth-audit.db")) as connection:
        entries = connection.execute("SELECT entry FROM audit").fetchall()
    left_out = [json.loads(entry)["count"] for (entry,) in entries if '"audit_left_out"' in entry]
    assert sum(left_out) > 0
    refused = [entry for (entry,) in entries if '"HandshakeRefused"' in entry]
    assert len(refused) + sum(left_out) == len(said)
