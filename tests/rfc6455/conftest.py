"""The way to the echo: straight, and through the gateway in each of its ways. What is asked is the same on all."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trustme

from tests.rfc6455.backends import Echo, Scripted, echo, scripted
from tests.rfc6455.peer import Site
from tests.wsauth_server import Serving, secret, serving

VIAS = ("direct", "gateway", "tls", "speaking")
"""Straight; through plain TCP; through TLS, where the client's end is a transport; and as a client whose messages are
looked at, since it offered wsauth.v1."""

_CONFIG = """
[server]
{tls}

[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{echo}"
anonymous = true
max_message = "64MiB"

[[routes]]
path = "/deflate"
upstream = "ws://127.0.0.1:{echo}"
compression = true

[[routes]]
path = "/scripted"
upstream = "ws://127.0.0.1:{scripted}"
anonymous = true
max_message = "64MiB"
"""

_OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover"

Finding = Callable[[str, str], Awaitable[Site]]


@pytest.fixture(scope="session")
async def backend(anyio_backend: str) -> AsyncGenerator[Echo]:
    """Run the echo."""
    async with echo() as running:
        yield running


@pytest.fixture(scope="session")
async def misbehaving(anyio_backend: str) -> AsyncGenerator[Scripted]:
    """Run the server that does what the test says."""
    async with scripted() as running:
        yield running


@pytest.fixture(scope="session")
async def finding(
    backend: Echo, misbehaving: Scripted, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Finding]:
    """Tell the way to a path; each gateway is started at most once."""
    gateways: dict[bool, tuple[Serving, str]] = {}
    authority = trustme.CA()
    async with AsyncExitStack() as stack:

        async def gateway(*, secure: bool) -> tuple[Serving, str]:
            if secure not in gateways:
                folder = tmp_path_factory.mktemp("tls" if secure else "plain")
                tls = _certificate(folder, authority) if secure else ""
                config = _CONFIG.format(tls=tls, echo=backend.port, scripted=misbehaving.port)
                running = await stack.enter_async_context(serving(folder, config=config))
                done = await running.command("tokens", "issue", "--subject", "alice", "--ttl", "1h")
                gateways[secure] = running, secret(done.out.strip(), "Alice's token")
            return gateways[secure]

        async def find(via: str, path: str) -> Site:
            lines = (_OFFER,) if path == "/deflate" else ()
            if via == "direct":
                return Site(via, backend.port, path, lines)
            running, token = await gateway(secure=via == "tls")
            if via == "speaking":
                lines = (*lines, "Sec-WebSocket-Protocol: wsauth.v1")
            if via == "speaking" or path == "/deflate":
                lines = (*lines, f"Authorization: Bearer {token}")
            context = None
            if via == "tls":
                context = ssl.create_default_context()
                authority.configure_trust(context)
            return Site(via, int(running.http.rpartition(":")[2]), path, lines, context, greets=via == "speaking")

        yield find


def _certificate(folder: Path, authority: trustme.CA) -> str:
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "server.pem")
    issued.private_key_pem.write_to_path(folder / "server.key")
    return 'tls_certificate = "server.pem"\ntls_key = "server.key"'


@pytest.fixture(params=VIAS)
async def site(request: pytest.FixtureRequest, finding: Finding) -> Site:
    """Tell each way to the echo in turn."""
    return await finding(request.param, "/ws")


@pytest.fixture(params=VIAS[1:])
async def through(request: pytest.FixtureRequest, finding: Finding) -> Site:
    """Tell each way through the gateway to the echo in turn."""
    return await finding(request.param, "/ws")


@pytest.fixture(params=VIAS[1:])
async def to_misbehaving(request: pytest.FixtureRequest, finding: Finding) -> Site:
    """Tell each way through the gateway to the scripted server in turn."""
    return await finding(request.param, "/scripted")


@pytest.fixture(params=["direct", "gateway", "tls"])
async def deflating(request: pytest.FixtureRequest, finding: Finding) -> Site:
    """Tell each way on which permessage-deflate is agreed on in turn; never for who speaks wsauth."""
    return await finding(request.param, "/deflate")
