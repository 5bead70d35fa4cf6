"""A small guarded application behind uvicorn on a free loopback port, in the test's own loop."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Unpack

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tests.allowing import FREELY
from tests.issuing import AUDIENCE, ISSUER, NOW, SECRET, SteppedClock, claims, signed
from wsauth import Guard, Identity, JWTVerifier, PasswordVerifier, Route
from wsauth.guard.route import PolicyKeys
from wsauth.integrations.asgi import WebSocketAuthMiddleware

PASSWORD = "correct horse battery staple"


async def echo(socket: WebSocket) -> None:
    """Send every text back as it came."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


def check_password(username: str, password: str) -> Identity | None:
    """Know Alice."""
    good = (username, password) == ("alice", PASSWORD)
    return Identity("alice", issuer="passwords") if good else None


def guarded(origins: Sequence[str], clock: SteppedClock, **keys: Unpack[PolicyKeys]) -> Guard:
    """Make a guard that takes the tests' tokens and Alice's password; `/admin` needs what nobody has."""
    verifier = JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=SECRET, leeway=0, clock=clock)
    return Guard(
        allowances=FREELY,
        verifiers=[verifier, PasswordVerifier(check_password)],
        origins=origins,
        routes=[Route("/admin", require=["chat:admin"])],
        clock=clock,
        **keys,
    )


def token(clock: SteppedClock, *, ttl: int = 300, age: int = 0) -> str:
    """Return Alice's token, issued `age` seconds ago and good for another `ttl`."""
    now = int(clock.now())
    return signed(claims(iat=now - age, exp=now + ttl, jti=f"{now - age}-{NOW}"))


@asynccontextmanager
async def serving(guard: Guard) -> AsyncGenerator[str]:
    """Serve an echo on every path; yields the host with its port."""
    routes = [WebSocketRoute(path, echo) for path in ("/", "/ws", "/socket", "/admin")]
    async with running(Starlette(routes=routes, middleware=[Middleware(WebSocketAuthMiddleware, guard=guard)])) as host:
        yield host


@asynccontextmanager
async def running(app: Any) -> AsyncGenerator[str]:
    """Run an application on uvicorn; yields the host with its port."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 # uvicorn has nothing that could set an event
                await asyncio.sleep(0.01)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
