"""The pytest plugin: it is loaded by itself where wsauth is installed (entry point `pytest11`).

What a fixture made is undone when its test ends.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any

import pytest

from wsauth import Guard, Identity
from wsauth.testing import Browser, FakeClock, LiveServer, TokenIssuer, browser, live_server

__all__ = ["wsauth_browser", "wsauth_clock", "wsauth_live_server", "wsauth_override", "wsauth_tokens"]


@pytest.fixture
def wsauth_clock() -> FakeClock:
    """Give a clock that stands still until the test moves it."""
    return FakeClock()


@pytest.fixture
def wsauth_live_server() -> Generator[Callable[[Any], LiveServer]]:
    """Run applications on real servers: `server = wsauth_live_server(app)`."""
    with ExitStack() as running:
        yield lambda app: running.enter_context(live_server(app))


@pytest.fixture
def wsauth_browser() -> Generator[Callable[..., Browser]]:
    """Open browsers: `page = wsauth_browser(app, origin="https://app.example.com")`."""
    with ExitStack() as opened:
        yield lambda app, **options: opened.enter_context(browser(app, **options))


@pytest.fixture
def wsauth_tokens() -> Generator[Callable[..., TokenIssuer]]:
    """Make token issuers: `tokens = wsauth_tokens(guard)`, then `tokens.token("alice")`."""
    with ExitStack() as made:
        yield lambda guard, **options: made.enter_context(TokenIssuer(guard, **options))


@pytest.fixture
def wsauth_override() -> Generator[Callable[[Guard, Identity], None]]:
    """Have everybody be one identity until the test ends: `wsauth_override(guard, identity)`."""
    with ExitStack() as active:
        yield lambda guard, identity: active.enter_context(guard.override(identity))
