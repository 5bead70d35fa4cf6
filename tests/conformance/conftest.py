"""The subjects: each server, and the gateway, with each application, one process for the whole run; and the cast.

The cast is new in every test.
"""

from collections.abc import AsyncGenerator
from secrets import token_hex

import pytest

from tests.apps.guarding import PACE_VARIABLE, SECRET_VARIABLE
from tests.conformance.client import Site
from tests.issuing import SECRET
from tests.servers import GATEWAY, SERVERS, serve


async def _site(app: str, server: str, **env: str) -> AsyncGenerator[Site]:
    async with serve(app, server=server, env={SECRET_VARIABLE: SECRET, **env}) as running, Site(running) as site:
        yield site


@pytest.fixture(scope="session", params=[*SERVERS, GATEWAY])
def server(request: pytest.FixtureRequest) -> str:
    """Name every server in turn, and the gateway."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
async def chat(anyio_backend: str, server: str) -> AsyncGenerator[Site]:
    """Run the chat in bare ASGI."""
    async for site in _site("tests.apps.chat:app", server):
        yield site


@pytest.fixture(scope="session")
async def paced_chat(anyio_backend: str, server: str) -> AsyncGenerator[Site]:
    """Run the chat where a client may send five messages in an hour."""
    async for site in _site("tests.apps.chat:app", server, **{PACE_VARIABLE: "5/h"}):
        yield site


@pytest.fixture(scope="session")
async def starlette_chat(anyio_backend: str, server: str) -> AsyncGenerator[Site]:
    """Run the chat in Starlette."""
    async for site in _site("tests.apps.starlette_chat:app", server):
        yield site


@pytest.fixture(scope="session")
async def fastapi_chat(anyio_backend: str, server: str) -> AsyncGenerator[Site]:
    """Run the chat in FastAPI."""
    async for site in _site("tests.apps.fastapi_chat:app", server):
        yield site


@pytest.fixture
def alice() -> str:
    """Name Alice, so that nothing another test did to her counts."""
    return f"alice-{token_hex(4)}"


@pytest.fixture
def bob() -> str:
    """Name Bob."""
    return f"bob-{token_hex(4)}"


@pytest.fixture
def mallory() -> str:
    """Name Mallory."""
    return f"mallory-{token_hex(4)}"
