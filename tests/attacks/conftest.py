"""One attacked process per server for all attacks of a run, looked at after each of them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from tests.attacks.cast import token
from tests.attacks.wire import frame, request, wire
from tests.servers import Running, serve

APP = "tests.attacks.apps:app"

Starting = Callable[[str], Awaitable[Running]]


@pytest.fixture(scope="session")
async def starting() -> AsyncGenerator[Starting]:
    """Run the application on a server at most once, everything logged."""
    started: dict[str, Running] = {}
    async with AsyncExitStack() as stack:

        async def start(server: str) -> Running:
            if server not in started:
                started[server] = await stack.enter_async_context(serve(APP, server=server, log_level="debug"))
            return started[server]

        yield start


@pytest.fixture(params=["uvicorn-sansio"])
async def target(request: pytest.FixtureRequest, starting: Starting) -> AsyncGenerator[Running]:
    """Lend the attacked server, and see afterwards that the same process serves Alice as before."""
    running = await starting(request.param)
    yield running
    assert running.alive
    await serves_alice(running)


async def serves_alice(running: Running) -> None:
    """See that the next client is served, and nothing of her token written."""
    good = token()
    async with asyncio.timeout(10), wire(running.port, request_of(good)) as alice:
        assert (await alice.answer()).status == 101
        alice.send(frame("hello"))
        assert await alice.text() == "alice: hello"
    written = running.output()
    assert not [part for part in good.split(".")[1:] if part in written]


def request_of(good: str) -> bytes:
    """Return Alice's handshake."""
    return request("/ws", f"Authorization: Bearer {good}")
