"""The control plane of a process that does not hear the feed: it grants nothing over HTTP either, and says why."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.races.world import PASSWORD, eventually
from wsauth.server.application import ControlPlane
from wsauth.settings.loading import load

SITE = "http://127.0.0.1:8080"


class Here:
    """Say what is served where."""

    public = SITE
    admin = ""


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncGenerator[ControlPlane]:
    """Run a control plane that counts the feed as lost after 600 ms, with Alice in its store."""
    file = tmp_path / "wsauth.toml"
    file.write_text('[store]\nfeed_timeout = "600ms"\n')
    control = ControlPlane(load(file, {}), Here())
    await control.start()
    await control.plane.local.users.add("alice", PASSWORD)
    yield control
    await control.aclose()


async def test_nothing_is_granted_and_readyz_says_feed(plane: ControlPlane) -> None:
    """Login, refresh, cookie and ticket are 503 `unavailable` while the feed is lost, and good when it is back."""
    transport = httpx2.ASGITransport(app=plane.public, client=("127.0.0.1", 50_000))
    async with httpx2.AsyncClient(transport=transport, base_url=SITE) as client:
        login = {"username": "alice", "password": PASSWORD}
        first = (await client.post("/auth/login", json=login)).json()
        bearer = {"Authorization": f"Bearer {first['access_token']}"}

        async def granted() -> list[tuple[int, Any]]:
            answers = [
                await client.post("/auth/login", json=login),
                await client.post("/auth/login", json={**login, "cookie": True}),
                await client.post("/auth/refresh", json={"refresh_token": first["refresh_token"]}),
                await client.post("/auth/ticket", headers=bearer),
            ]
            client.cookies.clear()
            return [(answer.status_code, answer.json().get("code")) for answer in answers]

        assert (await client.get("/readyz")).text == "ready"
        backend, follower = plane.plane.guard.backend, plane.plane.guard.follower
        await asyncio.to_thread(backend.reader.stop)
        await eventually(lambda: follower.lost)
        assert (await client.get("/readyz")).text == "feed"
        assert (await client.get("/healthz")).status_code == 200
        assert await granted() == [(503, "unavailable")] * 4
        backend.reader.start(follower._tell, backend.clock.now)
        await eventually(lambda: not follower.lost)
        assert (await client.get("/readyz")).text == "ready"
        assert [status for status, _ in await granted()] == [200] * 4
