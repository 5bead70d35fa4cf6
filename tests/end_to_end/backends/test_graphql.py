"""graphql-ws with its own client in Node: straight and through the gateway."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import node as nodejs
from tests.end_to_end.backends.reaching import WAYS, Backend, Door, Gateway, gateway
from tests.end_to_end.backends.running import NODE_FOLDER, node_program, process

pytestmark = pytest.mark.anyio
PROTOCOL = "graphql-transport-ws"
PATIENCE = 10.0
"""Seconds after which an open socket fails a test."""


@pytest.fixture(scope="module")
async def chat(anyio_backend: str, node: Path) -> AsyncGenerator[Backend]:
    """Run the backend."""
    async with process(*node_program(node, "graphql_chat.mjs")) as address:
        yield Backend("graphql-ws", f"ws://{address}", "/graphql")


@pytest.fixture(scope="module")
async def chat_gateway(chat: Backend, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Gateway]:
    """Run the gateway in front of it."""
    async with gateway(tmp_path_factory.mktemp("gateway"), chat) as running:
        yield running


@pytest.fixture(params=WAYS)
def door(request: pytest.FixtureRequest, chat: Backend) -> Door:
    """Return a way to the backend."""
    if request.param == "direct":
        return Door(chat)
    running: Gateway = request.getfixturevalue("chat_gateway")
    return running.door(chat)


async def visit(node: Path, door: Door, *arguments: str) -> dict[str, Any]:
    """Return what the client saw: the name of each thing it did, and what came of it."""
    script = (NODE_FOLDER / "graphql_client.mjs").read_text("utf-8")
    lines = await nodejs.run(node, script, f"{door.url}/graphql", *arguments)
    return dict(json.loads(line) for line in lines)


def checked(seen: dict[str, Any]) -> dict[str, str]:
    """See that everything came to pass, and return the headers that the backend saw."""
    head = seen.pop("head")
    assert seen == {
        "query": {"hello": "world"},
        "countdown": [3, 2, 1, 0],
        "listening": 1,
        "mutation": {"say": "hi there"},
        "said": {"said": "hi there"},
        "completed": 0,
        "closed": [1000, "Normal Closure"],
    }
    assert head["target"] == "/graphql"
    names: Sequence[str] = head["headers"][::2]
    return dict(zip((name.lower() for name in names), head["headers"][1::2], strict=True))


async def test_query_mutation_subscription_and_complete(node: Path, door: Door) -> None:
    """A subscription ends by itself, another one hears a mutation and is completed by the client."""
    token = [door.tokens["alice"], "header"] if door.gateway else []
    headers = checked(await visit(node, door, *token))
    assert headers["sec-websocket-protocol"] == PROTOCOL
    assert headers.get("x-wsauth-subject") == ("alice" if door.gateway else None)


async def test_a_token_beside_the_subprotocol(node: Path, chat: Backend, chat_gateway: Gateway) -> None:
    """A browser's client offers the token beside the subprotocol; the backend is offered its own alone."""
    door = chat_gateway.door(chat)
    headers = checked(await visit(node, door, door.tokens["alice"], "subprotocol"))
    assert headers["sec-websocket-protocol"] == PROTOCOL
    assert headers["x-wsauth-subject"] == "alice"


@pytest.mark.parametrize(
    ("messages", "code", "reason"),
    [
        (["no JSON"], 4400, "Invalid message received"),
        ([{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }"}}], 4401, "Unauthorized"),
        ([{"type": "connection_init"}] * 2, 4429, "Too many initialisation requests"),
    ],
    ids=["invalid", "unauthorized", "twice"],
)
async def test_the_protocol_has_close_codes_of_its_own(door: Door, messages: list[Any], code: int, reason: str) -> None:
    """They reach the client as the backend sent them."""
    async with door.connect("", offers=[PROTOCOL]) as alice:
        assert alice.subprotocol == PROTOCOL
        for message in messages:
            await alice.send(message if isinstance(message, str) else json.dumps(message))
        async with asyncio.timeout(PATIENCE):
            await alice.wait_closed()
        assert alice.close_code == code
        assert (alice.close_reason or "").startswith(reason)
