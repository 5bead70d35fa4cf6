"""What looks like an attack on a real server: noticed, told to a webhook, counted, written down and acted upon."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.end_to_end.administering import Office, closed, office
from tests.end_to_end.test_blocks import BEHIND, HONEST, MALLORY, PASSWORD, login, opened_from
from tests.receiver import SECRET, Receiver, receiving
from tests.wsauth_sockets import called, eventually


@asynccontextmanager
async def watched(folder: Path, actions: str, more: str = "") -> AsyncGenerator[tuple[Office, Receiver]]:
    """Serve with Bob and a webhook, whose secret comes from a file that the environment names."""
    (folder / "secret").write_text(f"{SECRET}\n", "utf-8")
    named = {"WSAUTH__MONITORING__WEBHOOKS__0__SECRET_FILE": str(folder / "secret")}
    with receiving() as receiver:
        text = f'{BEHIND}{more}[[monitoring.webhooks]]\nurl = "{receiver.url}"\n[monitoring.actions]\n{actions}\n'
        (folder / "wsauth.toml").write_text(text, "utf-8")
        async with office(folder, environ=named) as at:
            await at.server.add_user("bob", PASSWORD)
            yield at, receiver
            assert SECRET not in at.server.output()


async def told(receiver: Receiver, what: str) -> dict[str, object]:
    """Wait for an alert, and return what it says."""

    async def there() -> bool:
        return any(each["type"] == what for each in receiver.taken)

    assert await eventually(there), receiver.taken
    found: dict[str, object] = next(each["data"] for each in receiver.taken if each["type"] == what)
    return found


async def test_guessing_is_noticed_and_blocked(tmp_path: Path) -> None:
    """A burst on one account is told by name; who tries many accounts is blocked, where that is written."""
    async with watched(tmp_path, 'many_accounts = ["block", "alert"]') as (at, receiver):
        server = at.server
        await asyncio.gather(*(login(server, f"198.51.100.{number}", "wrong", "Bob") for number in range(24)))
        burst = await told(receiver, "login_failures")
        assert burst["subject"] == "bob"
        assert burst["actions"] == ["alert"]
        await asyncio.gather(*(login(server, MALLORY, PASSWORD, f"user{number}") for number in range(11)))
        spray = await told(receiver, "many_accounts")
        assert (spray["address"], spray["actions"]) == (MALLORY, ["block", "alert"])

        async def kept_out() -> bool:
            return (await login(server, MALLORY, PASSWORD))[0] == 403

        assert await eventually(kept_out)
        assert (await login(server, HONEST, PASSWORD))[0] == 200
        (block,) = (await at.get("/blocks"))["items"]
        assert (block["network"], block["automatic"]) == (f"{MALLORY}/32", True)
        key = await at.add_service("prometheus", "wsauth:metrics")
        numbers = (await at.http.get("/metrics", headers={"Authorization": f"Bearer {key}"})).text.splitlines()
        assert 'wsauth_noticed_total{what="login_failures"} 1.0' in numbers
        assert 'wsauth_noticed_total{what="many_accounts"} 1.0' in numbers
        assert 'wsauth_alerts_total{outcome="delivered"} 2.0' in numbers
        events = (await server.command("audit", "list", "--json", "--event", "authn_login_fail_max")).out
        assert events.count("Noticed") == 2


async def test_a_token_from_two_networks_ends_its_session(tmp_path: Path) -> None:
    """Where that is written, both sockets are closed and the session is over; the webhook knows whose it was."""
    async with watched(tmp_path, 'second_network = ["end_session", "alert"]') as (at, receiver):
        server = at.server
        tokens = (await login(server, HONEST, PASSWORD))[1]
        token = tokens["access_token"]
        async with opened_from(server, token, HONEST) as here, opened_from(server, token, MALLORY) as there:
            assert "session_revoked" in await closed(here)
            assert "session_revoked" in await closed(there)
        alert = await told(receiver, "second_network")
        assert (alert["subject"], alert["session_id"], alert["address"]) == ("bob", tokens["session_id"], MALLORY)
        again = {"refresh_token": tokens["refresh_token"]}
        reply = await called("POST", f"{server.http}/auth/refresh", "", again)
        assert (reply.status_code, reply.json()["code"]) == (401, "session_revoked")


async def test_old_refresh_tokens_and_bad_messages_are_told(tmp_path: Path) -> None:
    """A webhook that wants nothing in particular gets every alert; the session of bad messages goes on."""
    async with watched(tmp_path, "", '[[routes]]\npath = "/ws"\nupstream = "echo"\nmax_message = "100B"\n') as (
        at,
        receiver,
    ):
        server = at.server
        tokens = (await login(server, HONEST, PASSWORD))[1]
        for _ in range(24):
            async with opened_from(server, tokens["access_token"], HONEST) as socket:
                await socket.send("x" * 200)
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
        bad = await told(receiver, "bad_messages")
        assert (bad["subject"], bad["session_id"]) == ("bob", tokens["session_id"])
        old = {"refresh_token": tokens["refresh_token"]}
        new = (await called("POST", f"{server.http}/auth/refresh", "", old)).json()
        newer = {"refresh_token": new["refresh_token"]}
        assert (await called("POST", f"{server.http}/auth/refresh", "", newer)).status_code == 200
        way = {"X-Forwarded-For": MALLORY}
        assert (await called("POST", f"{server.http}/auth/refresh", "", old, **way)).status_code == 401
        reuse = await told(receiver, "token_reuse")
        assert (reuse["subject"], reuse["address"]) == ("bob", MALLORY)
