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
path = "/scripted"
upstream = "ws://127.0.0.1:{scripted}"
anonymous = true
max_message = "64MiB"
"""

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
    gateways: dict[bool, Serving] = {}
    lines: list[str] = []
    authority = trustme.CA()
    async with AsyncExitStack() as stack:

        async def gateway(*, secure: bool) -> Serving:
            if secure not in gateways:
                folder = tmp_path_factory.mktemp("tls" if secure else "plain")
                tls = _certificate(folder, authority) if secure else ""
                config = _CONFIG.format(tls=tls, echo=backend.port, scripted=misbehaving.port)
                gateways[secure] = await stack.enter_async_context(serving(folder, config=config))
            return gateways[secure]

        async def find(via: str, path: str) -> Site:
            if via == "direct":
                return Site(via, backend.port, path)
            running = await gateway(secure=via == "tls")
            port = int(running.http.rpartition(":")[2])
            if via == "tls":
                context = ssl.create_default_context()
                authority.configure_trust(context)
                return Site(via, port, path, tls=context)
            if via == "speaking":
                if not lines:
                    done = await running.command("tokens", "issue", "--subject", "alice", "--ttl", "1h")
                    token = secret(done.out.strip(), "Alice's token")
                    lines.extend(["Sec-WebSocket-Protocol: wsauth.v1", f"Authorization: Bearer {token}"])
                return Site(via, port, path, tuple(lines), greets=True)
            return Site(via, port, path)

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
