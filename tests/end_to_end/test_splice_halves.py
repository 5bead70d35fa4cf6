"""`wsauth serve` with either half of the splice, plain Python and compiled: nobody on the wire can tell which."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.rfc6455.backends import Echo, echo
from tests.rfc6455.peer import CLOSE, CONTINUATION, PING, PONG, TEXT, Site, frame, opened
from tests.splices import ROOT
from tests.wsauth_server import secret, serving
from tests.wsauth_sockets import port_of

CONFIG = """
[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{port}"
max_message = "1MiB"
"""
HALVES = {"python": ".py", "compiled": ".so"}
SPEAKS = "Sec-WebSocket-Protocol: wsauth.v1"


@pytest.fixture
async def backend() -> AsyncGenerator[Echo]:
    """Run the echo."""
    async with echo() as running:
        yield running


@pytest.fixture(params=HALVES)
async def site(request: pytest.FixtureRequest, tmp_path: Path, backend: Echo) -> AsyncGenerator[Site]:
    """Serve with each half in turn, and see that it is the one."""
    half = request.param if request.param == "python" else str(request.getfixturevalue("compiled_folder"))
    path = os.pathsep.join([str(ROOT / "tests" / "halves"), str(ROOT)])
    environ = {"SPLICE_HALF": half, "PYTHONPATH": path}
    async with serving(tmp_path, config=CONFIG.format(port=backend.port), environ=environ) as running:
        assert f"the splice is {HALVES[request.param]}\n" in running.output()
        done = await running.command("tokens", "issue", "--subject", "alice", "--ttl", "1h")
        token = secret(done.out.strip(), "Alice's token")
        yield Site(request.param, port_of(running.http), "/ws", (f"Authorization: Bearer {token}",))


@pytest.mark.parametrize("speaks", [False, True], ids=["plain", "speaking"])
async def test_both_halves_carry_and_end(site: Site, backend: Echo, speaks: bool) -> None:
    """Messages of every size come back, rules are kept, and both ends of each connection hear how it ended."""
    lines = (*site.lines, SPEAKS) if speaks else site.lines
    at = Site(site.via, site.port, site.path, lines, greets=speaks)
    async with opened(at, "good") as peer:
        for size in (0, 1, 125, 126, 20_000, 65_536, 1 << 20):
            peer.send(frame(b"x" * size))
            assert (await peer.message()).payload == b"x" * size
        peer.send(*(frame(f"{number}") for number in range(300)))
        assert [(await peer.message()).payload for _ in range(300)] == [b"%d" % number for number in range(300)]
        peer.send(frame("in ", fin=False), frame(b"now", PING), frame("pieces", CONTINUATION))
        found = [await peer.receive() for _ in range(2)]
        assert {(each.opcode, each.payload) for each in found} == {(PONG, b"now"), (TEXT, b"in pieces")}
        peer.send(frame(b"\x0f\xa1bye", CLOSE))
        assert (await peer.closed()).code == 4001
        await peer.ends()
    seen = await backend.seen["good"].ended()
    assert (seen.told, seen.reason) == (4001, "bye")
    for name, broken, code in (("rsv", frame("x", rsv=4), 1002), ("long", frame(b"x" * ((1 << 20) + 1)), 1009)):
        async with opened(at, name) as peer:
            peer.send(frame("before"), broken)
            assert (await peer.closed()).code == code
        seen = await backend.seen[name].ended()
        assert (seen.messages, seen.told) == (1, code)
