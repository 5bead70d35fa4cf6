"""The audit log of a real server: why somebody was refused, and what is found of somebody who edits it."""

import asyncio
import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2

from tests.end_to_end.administering import office
from tests.lifeline import hold, release
from tests.wsauth_server import WSAUTH, Serving, command, environment, serving
from tests.wsauth_sockets import eventually
from wsauth.core.audit import check
from wsauth.services.keyfile import KeyFile
from wsauth.stores.sqlite.store import SQLiteStore

UNKNOWN = "aaaaaaaaaaaa"
PASSWORD = "four white rabbits and a watch"


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


async def test_follow_prints_what_comes_while_it_runs(tmp_path: Path) -> None:
    """Nothing of before; each entry once, as a line of JSON; and Ctrl-C ends it with 130."""
    async with serving(tmp_path) as server:
        await server.add_user("early", PASSWORD)
        with (tmp_path / "followed").open("wb") as written:
            following = await asyncio.create_subprocess_exec(
                *(str(WSAUTH), "audit", "follow", "--json"), cwd=tmp_path, env=environment(), stdout=written
            )
            hold(following.pid)
            try:
                await _follows(server, tmp_path / "followed")
            finally:
                following.send_signal(signal.SIGINT)
                assert await following.wait() == 130
                release(following.pid)


async def _follows(server: Serving, written: Path) -> None:
    def lines() -> list[str]:
        return [
            f"{entry['event']} {entry['subject']}"
            for entry in map(json.loads, written.read_text().splitlines())
            if "subject" in entry
        ]

    number = 0

    async def begun() -> bool:
        nonlocal number
        number += 1
        await server.add_user(f"probe{number}", PASSWORD)
        return bool(lines())

    assert await eventually(begun, 20.0)
    await server.add_user("late", PASSWORD)
    await server.login("late", PASSWORD)

    async def followed() -> bool:
        return "authn_login_success late" in lines()

    assert await eventually(followed, 20.0)
    found = lines()
    assert "user_created early" not in found
    assert found.count("user_created late") == found.count("authn_login_success late") == 1


async def test_entries_on_standard_output_are_whole_chains(tmp_path: Path) -> None:
    """With `audit_log = "-"` each is a line of JSON with its place and its tag, and nothing is missing."""
    async with serving(tmp_path, config='[monitoring]\naudit_log = "-"\n') as server:
        await server.add_user("ann", PASSWORD)
        await server.login("ann", PASSWORD)
        async with httpx2.AsyncClient(base_url=server.http) as client:
            await client.get("/auth/me", headers={"Authorization": "Bearer x.y.z"})
        await server.stop()
        lines = [json.loads(line) for line in server.output().splitlines() if line.startswith('{"')]
    events = {line["entry"]["event"] if "entry" in line else line["event"] for line in lines}
    assert {"authn_login_success", "authn_login_fail"} <= events
    assert "x.y.z" not in str(lines)
    chains: dict[str, list[int]] = {}
    for line in lines:
        chains.setdefault(line["chain"], []).append(line["number"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in chains.values())
    refused = await command(tmp_path, "audit", "list")
    assert refused.status == 2
    assert "audit_log" in refused.err


async def test_the_admin_api_pages_through_it(tmp_path: Path) -> None:
    """Page after page brings every entry once, in order; a filter narrows it, and a page that is none is told."""
    async with office(tmp_path) as at:
        for number in range(4):
            await at.server.add_user(f"user{number}", PASSWORD)

        async def settled() -> bool:
            return len((await at.get("/audit?limit=1000&event=user_created"))["items"]) >= 5

        assert await eventually(settled, 5.0)
        whole: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            page = await at.get(f"/audit?limit=2&event=user_created&after={after}")
            assert len(page["items"]) <= 2
            whole += page["items"]
            after = page["next"]
        assert [entry["subject"] for entry in whole][-4:] == ["user0", "user1", "user2", "user3"]
        times = [entry["at"] for entry in whole]
        assert times == sorted(times)
        (only,) = (await at.get("/audit?subject=user2"))["items"]
        assert only["event"] == "user_created"
        assert (await at.ask("GET", "/audit?after=nonsense")).status_code == 400


async def test_an_order_is_there_before_it_is_obeyed(tmp_path: Path) -> None:
    """Its entry names whom it is about, and claims no number of connections, which nobody knows by then."""
    async with office(tmp_path) as at:
        await at.server.add_user("ann", PASSWORD)
        asked = await at.ask("POST", "/revocations", {"subject": "ann", "issuer": "wsauth"})
        assert asked.json()["matched"] == 0
        (order,) = (await at.get("/audit?event=authn_token_revoked"))["items"]
        assert (order["subject"], order["kind"]) == ("ann", "Revoked")
        assert "matched" not in order


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
