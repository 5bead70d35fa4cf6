"""The audit log of a real server: why somebody was refused, and what is found of somebody who edits it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2

from tests.wsauth_server import command, serving
from wsauth.core.audit import check
from wsauth.services.keyfile import KeyFile
from wsauth.stores.sqlite.store import SQLiteStore

UNKNOWN = "aaaaaaaaaaaa"


async def test_a_refusal_is_explained_and_damage_is_found(tmp_path: Path) -> None:
    """One server: log in, be refused, ask why while it runs and after; then edit, delete, swap and cut off (LG-10)."""
    async with serving(tmp_path) as server:
        password = await server.add_user("ann", "correct horse battery staple 7")
        await server.login("ann", password)
        async with httpx2.AsyncClient(base_url=server.http) as client:
            refused = (await client.get("/auth/me", headers={"Authorization": "Bearer x.y.z"})).json()
            upgrade = {
                "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Authorization": "Bearer not-a-token",
            }  # fmt: skip
            handshake = (await client.get("/ws", headers=upgrade)).json()
        story = await server.command("why", refused["id"])
        assert story.status == 0, story.err
        assert "a request to the HTTP API was refused, code token_invalid" in story.out
        other = await server.command("why", handshake["id"])
        assert "presented  a credential by header" in other.out
        assert "path       /ws" in other.out
        assert "not-a-token" not in other.out
        unknown = await server.command("why", UNKNOWN)
        assert (unknown.status, unknown.out, unknown.err.count("\n")) == (2, "", 1)
        listed = await server.command("audit", "list", "--json", "--subject", "ann")
        events = [json.loads(line)["event"] for line in listed.out.splitlines()]
        assert events == ["user_created", "authn_login_success"]
        await server.stop()
        output = server.output()
    log = tmp_path / "server.log"
    log.write_text(output)
    assert "audit head {" in output
    good = await command(tmp_path, "audit", "verify", "--heads", "server.log")
    assert (good.status, good.err) == (0, ""), good.out
    await _damage(tmp_path, log)


async def _damage(folder: Path, log: Path) -> None:
    decisions, store = folder / "wsauth-audit.db", folder / "wsauth.db"
    edit = "UPDATE audit SET entry = replace(entry, '/auth/me', '/auth/us')"
    swap = "UPDATE audit SET number = CASE number WHEN 1 THEN 2 ELSE 1 END + 100 WHERE number < 3"
    assert any("it was changed" in line for line in _found(folder, decisions, edit))
    assert any("is missing" in line for line in _found(folder, decisions, "DELETE FROM audit WHERE number = 1"))
    assert _found(folder, decisions, swap, "UPDATE audit SET number = number - 100 WHERE number > 100")
    cut = "DELETE FROM audit WHERE event = 'authn_login_success'"
    assert any("the end is cut off" in line for line in _found(folder, store, cut))
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(cut)
        connection.execute("DELETE FROM facts WHERE name LIKE 'audit:%'")
    found = await command(folder, "audit", "verify", "--heads", str(log))
    assert found.status == 1
    assert "the end is cut off" in found.out
    (folder / "wsauth.key").rename(folder / "gone")
    missing = await command(folder, "audit", "verify")
    assert missing.status == 2
    assert "store.key_file" in missing.err


def _found(folder: Path, file: Path, *statements: str) -> list[str]:
    """Return what is found after statements, which are undone afterwards."""
    kept = file.read_bytes()
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    log = SQLiteStore(folder / "wsauth.db").audit
    found = check(log.chains(), {"store": log.heads()}, KeyFile.open(folder / "wsauth.key").mac("audit").sign)
    file.write_bytes(kept)
    return found


async def test_a_file_instead(tmp_path: Path) -> None:
    """Changes are there as well, and it can be looked up."""
    async with serving(tmp_path, config='[monitoring]\naudit_log = "audit.jsonl"\n') as server:
        password = await server.add_user("ann", "correct horse battery staple 7")
        await server.login("ann", password)
    done = await command(tmp_path, "audit", "list", "--json")
    assert [json.loads(line)["event"] for line in done.out.splitlines()] == ["user_created", "authn_login_success"]
    assert (await command(tmp_path, "audit", "verify")).status == 0
