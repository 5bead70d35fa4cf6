"""wsauth.testing.server: a real server that comes and goes with a block."""

import socket
import threading
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI

from tests.unit.testing.chat import chat
from wsauth import Identity
from wsauth.testing import live_server


def test_it_answers_and_is_gone_afterwards() -> None:
    """The application answers at its URL within the block, and nobody listens there after it."""
    with live_server(chat().app) as server:
        assert httpx2.get(f"{server.url}/me").status_code == 401
        assert urlsplit(server.ws_url).netloc == urlsplit(server.url).netloc
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", urlsplit(server.url).port or 0)) != 0
    assert "wsauth live_server" not in {thread.name for thread in threading.enumerate()}


def test_the_lifespan_runs_in_full() -> None:
    """Startup has ended before the block begins, and shutdown before it is left."""
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        steps.append("started")
        yield
        steps.append("stopped")

    with live_server(FastAPI(lifespan=lifespan)):
        assert steps == ["started"]
    assert steps == ["started", "stopped"]


def test_an_application_that_fails_to_start_is_an_error() -> None:
    """An exception in startup is no server, and says so at once."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        yield dict[str, Any]()["database"]

    with pytest.raises(RuntimeError, match="did not start"), live_server(FastAPI(lifespan=lifespan)):
        pytest.fail("there is no server")


def test_coroutines_run_where_the_application_runs() -> None:
    """`run` gives what a coroutine returns, from the loop of the server's thread."""

    async def where() -> int:
        return threading.get_ident()

    with live_server(chat().app) as server:
        assert server.run(where()) != threading.get_ident()


def test_an_overridden_guard_needs_no_token() -> None:
    """While a guard is overridden, a request without credentials or with bad ones is that identity's."""
    app, guard = chat()
    with live_server(app) as server:
        with guard.override(Identity("alice", issuer="tests")):
            assert httpx2.get(f"{server.url}/me").json() == "alice"
            assert httpx2.get(f"{server.url}/me", headers={"Authorization": "Bearer wrong"}).json() == "alice"
        assert httpx2.get(f"{server.url}/me").status_code == 401
