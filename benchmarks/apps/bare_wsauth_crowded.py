"""Echo in bare ASGI behind wsauth's middleware, in a process that already remembers a lot."""

import time
from typing import Any

from benchmarks.apps.bare_plain import app as plain
from benchmarks.apps.guarded import make_guard
from benchmarks.apps.settings import ISSUER
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.services.connections.deadlines import Deadline

MANY = 100_000

guard = make_guard()
guarded = WebSocketAuthMiddleware(plain, guard=guard)


class Lease:
    """Stands for a connection whose lease ends in an hour."""

    __slots__ = ("deadline",)

    def __init__(self) -> None:
        self.deadline: Deadline | None = None

    def wake(self, now: float) -> None:
        """Do nothing: no measurement lasts that long."""


async def fill() -> None:
    """Revoke as many tokens as there are leases to remember."""
    now = time.time()
    for number in range(MANY):
        guard.connections.deadlines.set(Lease(), now + 3_600 + number % 600)
        await guard.revoke(token_id=f"revoked-{number}", issuer=ISSUER)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Fill the guard before the server accepts; then be the same as `bare_wsauth`."""
    if scope["type"] != "lifespan":
        await guarded(scope, receive, send)
        return
    await receive()
    await fill()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
