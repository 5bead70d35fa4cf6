"""wsauth.testing.plugin: the same as fixtures, undone after each test; and nothing heavy is imported for it."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.unit.testing.chat import ORIGIN, chat
from wsauth import Guard, Identity
from wsauth.testing import Browser, FakeClock, LiveServer, TokenIssuer

SHARED = chat()


def test_a_clock(wsauth_clock: FakeClock) -> None:
    """The clock begins at the time it is, and is moved by the test."""
    before = wsauth_clock.now()
    wsauth_clock.advance(3600)
    assert wsauth_clock.now() == before + 3600


def test_tokens_on_a_live_server(
    wsauth_tokens: Callable[[Guard], TokenIssuer],
    wsauth_live_server: Callable[[Any], LiveServer],
    wsauth_browser: Callable[..., Browser],
) -> None:
    """Issuer, server and browser work together without a `with`."""
    tokens = wsauth_tokens(SHARED.guard)
    page = wsauth_browser(wsauth_live_server(SHARED.app), origin=ORIGIN)
    socket = page.connect("/ws", ["wsauth.v1", f"wsauth.bearer.{tokens.token('alice')}"])
    assert socket.receive_json()["subject"] == "alice"


def test_an_override(
    wsauth_override: Callable[[Guard, Identity], None], wsauth_browser: Callable[..., Browser]
) -> None:
    """A guard stays overridden until the test ends."""
    wsauth_override(SHARED.guard, Identity("alice", issuer="tests"))
    socket = wsauth_browser(SHARED.app, origin=ORIGIN).connect("/ws")
    socket.send("hello")
    assert socket.receive() == "alice: hello"


def test_nothing_is_left_of_it(wsauth_browser: Callable[..., Browser]) -> None:
    """The test after an override is nobody again."""
    socket = wsauth_browser(SHARED.app, origin=ORIGIN).connect("/ws")
    assert socket.receive_json()["type"] == "auth_required"


def test_the_kit_needs_no_extra_to_be_imported() -> None:
    """`import wsauth.testing` imports neither pytest nor uvicorn nor websockets, though it can use all three."""
    code = (
        "import sys, wsauth.testing; "
        "print(sorted({'pytest', 'uvicorn', 'websockets'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
