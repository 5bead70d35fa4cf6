"""What a guard says of itself and does on its own, without a server."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from tests.issuing import SECRET, SteppedClock
from wsauth import ConfigurationError, Guard, Identity, JWTVerifier, Refused, Route
from wsauth.integrations.asgi import WebSocketAuthMiddleware


def nameless(clock: SteppedClock) -> Guard:
    """Return a guard whose tokens name no issuer, and may live for thirty days."""
    verifier = JWTVerifier(issuer=None, audience=None, secret=SECRET, name="tutorial", max_ttl="30d", clock=clock)
    return Guard(verifiers=[verifier], origins=[], clock=clock)


async def test_a_revocation_outlives_the_tokens_of_an_issuer_that_is_not_checked() -> None:
    """What is revoked stays so for as long as a token may live, leeway included, also where `name` is the issuer."""
    clock = SteppedClock()
    guard = nameless(clock)
    await guard.revoke(subject="mallory")
    issued = clock.now() + 20
    mallory = Identity("mallory", issuer="tutorial", claims={"iat": issued})
    for _ in range(2_000):
        await guard.revoke(token_id=f"other-{_}")
    clock.advance(29 * 86_400)
    for _ in range(4_000):
        await guard.revoke(token_id=f"another-{_}")
    found = guard.connections.revocations.check(mallory, issued)
    assert isinstance(found, Refused)
    assert found.code == "token_revoked"


async def test_nobody_is_disconnected_by_two_names() -> None:
    """One order names one thing."""
    guard = nameless(SteppedClock())
    with pytest.raises(ConfigurationError, match="exactly one"):
        await guard.disconnect(subject="alice", session_id="s")
    with pytest.raises(ConfigurationError, match="exactly one"):
        await guard.revoke()


@pytest.mark.parametrize("seconds", [float("inf"), -1.0, float("nan")])
async def test_retry_after_is_a_number_of_seconds(seconds: float) -> None:
    """What no client could wait for is refused."""
    with pytest.raises(ConfigurationError, match="retry_after"):
        await nameless(SteppedClock()).disconnect(subject="alice", retry_after=seconds)


def guard(**keys: Any) -> Guard:
    """Return a guard set up like this."""
    verifier = JWTVerifier(issuer="https://login.example.com", audience="chat", secret=SECRET)
    return Guard(**{"verifiers": [verifier], "origins": [], **keys})


class Synchronous:
    """Be a verifier as somebody in a hurry writes it."""

    def verify(self, credentials: object) -> None:
        """Answer without being asked to wait."""


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"origins": "https://app.example.com"}, "origins is a list"),
        ({"origins": None}, "origins is a list"),
        ({"origins": ["app.example.com"]}, "not an origin"),
        ({"verifiers": JWTVerifier}, "verifiers is a list"),
        ({"verifiers": [JWTVerifier]}, "async def verify"),
        ({"verifiers": [Synchronous()]}, "async def verify"),
        ({"routes": ["/ws"]}, "routes is a list of Route"),
        ({"routes": Route("/ws")}, "routes is a list of Route"),
        ({"roles": ["member"]}, "roles is a table"),
        ({"anonymous": "false"}, "anonymous"),
        ({"require": ["chat:*"]}, "only roles have patterns"),
        ({"require": "chat:read"}, "require is a list"),
        ({"auth_timeout": 0}, "auth_timeout cannot be off"),
        ({"access_ttl": ""}, "access_ttl cannot be off"),
        ({"grace": "ten"}, "grace"),
        ({"token_in_every_message": True}, "unknown key 'token_in_every_message'"),
        ({"sources": ["heder"]}, "unknown 'heder'"),
        ({"refusals": "never"}, "refusals"),
        ({"auth_attempts": True}, "auth_attempts"),
        ({"store": "redis://localhost"}, "sqlite:///"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(keys: dict[str, Any], named: str) -> None:
    """A mistake in the set-up stops the start, and its text names the key and the mend."""
    with pytest.raises(ConfigurationError, match=named):
        guard(**keys)


async def test_routes_that_a_router_brings_are_found() -> None:
    """`guard.check` names a WebSocket route that came with `include_router`, prefix included."""
    router = APIRouter(prefix="/rooms")

    @router.websocket("/{room}")
    async def forgotten(room: str) -> None:
        raise NotImplementedError

    app = FastAPI()
    app.include_router(router, prefix="/v1")
    careful = guard()
    assert careful.check(app) == ["/v1/rooms/{room}"]
    app.add_middleware(WebSocketAuthMiddleware, guard=careful)
    assert careful.check(app) == []
