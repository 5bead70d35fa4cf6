"""One Chromium for the whole run, with a fresh profile, origin and page for every test; the proxies of this machine."""

import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.end_to_end.browser import Tab, running, site, tab
from tests.end_to_end.client_page import Client
from tests.end_to_end.scripted_peer import ScriptedPeer


@pytest.fixture(scope="session")
async def chromium_browser(anyio_backend: str, chromium: Path) -> AsyncGenerator[Browser]:
    """Run Chromium."""
    async with running(chromium) as browser:
        yield browser


@pytest.fixture
async def chromium_tab(chromium_browser: Browser) -> AsyncGenerator[Tab]:
    """Open an empty page that can import /wsauth.js."""
    context = await chromium_browser.new_context()
    try:
        async with site() as origin, tab(context, origin) as opened:
            yield opened
    finally:
        await context.close()


@pytest.fixture
async def client(chromium_tab: Tab) -> AsyncGenerator[Client]:
    """Stop the page's clock, and listen."""
    await chromium_tab.page.clock.install(time=0)
    await chromium_tab.page.clock.pause_at(1)
    peer = ScriptedPeer()
    async with peer.listening():
        yield Client(chromium_tab, peer)


def _proxy(name: str) -> Path:
    # Debian has them in /usr/sbin, where only root looks.
    if found := shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"):
        return Path(found)
    pytest.skip(f"{name} is not here: apt-get install {name}")


@pytest.fixture(scope="session")
def nginx() -> Path:
    """Find nginx."""
    return _proxy("nginx")


@pytest.fixture(scope="session")
def caddy() -> Path:
    """Find Caddy."""
    return _proxy("caddy")


@pytest.fixture(scope="session")
def haproxy() -> Path:
    """Find HAProxy."""
    return _proxy("haproxy")
