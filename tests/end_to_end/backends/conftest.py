"""The three chats in plain WebSocket, and a gateway in front of them; started once for each module that asks."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.end_to_end.backends.reaching import Backend, Door, Gateway, gateway
from tests.end_to_end.backends.running import daphne, node_program, process, python_program


@pytest.fixture(scope="module")
async def chats(
    anyio_backend: str, node: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Mapping[str, Backend]]:
    """Run the chats: two on TCP, one on a unix socket."""
    socket = tmp_path_factory.mktemp("ws") / "chat.sock"
    async with AsyncExitStack() as running:
        python = await running.enter_async_context(
            process(*python_program("tests.end_to_end.backends.websockets_chat"))
        )
        path = await running.enter_async_context(process(*node_program(node, "ws_chat.mjs", str(socket))))
        django = await running.enter_async_context(
            process(*daphne("tests.end_to_end.backends.channels_chat:application"))
        )
        yield {
            "websockets": Backend("websockets", f"ws://{python}", "/python/*"),
            "ws": Backend("ws", f"unix:{path}", "/node/*"),
            "channels": Backend("channels", f"ws://{django}", "/channels/*", reasons=False),
        }


@pytest.fixture(scope="module")
async def chat_gateway(
    chats: Mapping[str, Backend], tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Gateway]:
    """Run the gateway."""
    async with gateway(tmp_path_factory.mktemp("gateway"), *chats.values()) as running:
        yield running


@pytest.fixture
def door(request: pytest.FixtureRequest, chats: Mapping[str, Backend], name: str, via: str) -> Door:
    """Return the way `via` to the chat called `name`."""
    if via == "direct":
        return Door(chats[name])
    running: Gateway = request.getfixturevalue("chat_gateway")
    return running.door(chats[name])
