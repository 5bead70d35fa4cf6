"""The example backends let in whom a good assertion speaks of, and nobody else who reaches their port.

ATTACKS GW-17 and GW-18.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets import InvalidStatus
from websockets.asyncio.client import connect

from tests.end_to_end.backends.reaching import Backend, Gateway, gateway
from tests.end_to_end.backends.running import NODE_FOLDER, ROOT, free_port, process
from tests.issuing import SteppedClock
from tests.wsauth_server import ISSUER
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.permissions import Permissions
from wsauth.services.assertions import ASSERTION_TYPE, Assertions
from wsauth.services.clock import SystemClock
from wsauth.services.keyfile import KeyFile
from wsauth.services.signing import SigningKeys
from wsauth.stores.sqlite.store import SQLiteStore

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("language", ["python", "node"])]
EXAMPLES = ROOT / "examples" / "upstreams"
ALICE = Identity("alice", issuer="wsauth", roles=["member"], session_id="s1")
MAY = Permissions(["chat:lobby:send"])


@dataclass
class Signer:
    """Sign as the gateway does, with the keys of its store.

    Attributes:
        keys: the gateway's.
        audience: the example's own URL.
    """

    keys: SigningKeys
    audience: str

    def good(
        self,
        who: Identity = ALICE,
        may: Permissions = MAY,
        *,
        ago: float = 0.0,
        issuer: str = ISSUER,
        audience: str = "",
    ) -> str:
        """Return an assertion that was signed some seconds ago."""
        assertions = Assertions(self.keys, issuer, SteppedClock(SystemClock().now() - ago))
        found = assertions.sign(who, may, audience=audience or self.audience, connection_id="c1")
        assert found is not None
        return found

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good assertion, some of them changed; `None` leaves one out."""
        claims = {**jwt.decode(self.good(), options={"verify_signature": False}), **changes}
        return {name: value for name, value in claims.items() if value is not None}


@dataclass
class Examples:
    """Hold the gateway and where the examples listen."""

    at: Gateway
    ports: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
async def examples(
    anyio_backend: str, node: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Examples]:
    """Run a server whose keys the examples know, and both examples."""
    folder = tmp_path_factory.mktemp("server")
    ports = {"python": free_port(), "node": free_port()}
    async with gateway(folder, *(backend(name, port) for name, port in ports.items())) as at:
        env = {"WSAUTH": at.at.http, "ISSUER": ISSUER}
        python = process(sys.executable, str(EXAMPLES / "backend.py"), env={**env, "PORT": str(ports["python"])})
        # Read from standard input it finds the packages of the folder where it runs.
        javascript = process(
            str(node),
            "--input-type=module",
            "-",
            folder=NODE_FOLDER,
            script=(EXAMPLES / "backend.mjs").read_text("utf-8"),
            env={**env, "PORT": str(ports["node"])},
        )
        async with python, javascript:
            yield Examples(at, ports)


@pytest.fixture
async def signer(examples: Examples, language: str) -> AsyncGenerator[Signer]:
    """Open the server's own keys."""
    folder = examples.at.at.folder
    store = SQLiteStore(folder / "wsauth.db")
    await store.open()
    keys = SigningKeys(store.keys, KeyFile.open(folder / "wsauth.key"), "EdDSA", SystemClock())
    await keys.load(make=False)
    try:
        yield Signer(keys, backend(language, examples.ports[language]).upstream)
    finally:
        await store.aclose()


def backend(language: str, port: int) -> Backend:
    """Return an example as the gateway's routes name it."""
    return Backend(language, f"ws://127.0.0.1:{port}", f"/{language}/*")


def knock(at: str, *assertions: str, **headers: str) -> connect:
    """Dial an example directly."""
    given = [("X-Wsauth-Assertion", assertion) for assertion in assertions]
    given += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return connect(at, additional_headers=given, proxy=None)


async def greeting(connecting: connect) -> str:
    """Return what an example says to whom it lets in."""
    async with connecting as socket, asyncio.timeout(10):
        return str(await socket.recv())


async def status(connecting: connect) -> int:
    """Return the status with which an example refuses."""
    with pytest.raises(InvalidStatus) as refused:
        await connecting.__aenter__()
    return refused.value.response.status_code


async def test_whom_the_assertion_speaks_of_is_let_in(signer: Signer) -> None:
    """By name and rights; a pattern gives the right, somebody without it may not speak, nobody has no name."""
    assert await greeting(knock(signer.audience, signer.good())) == "hello alice, you may speak"
    may = Permissions([], ["chat:*:send"])
    assert await greeting(knock(signer.audience, signer.good(may=may))) == "hello alice, you may speak"
    assert await greeting(knock(signer.audience, signer.good(NOBODY, may))) == "hello somebody, you may speak"
    silent = signer.good(may=Permissions(["chat:lobby:read"]))
    async with knock(signer.audience, silent) as alice:
        assert await alice.recv() == "hello alice, you may not speak"
        await alice.send("may I?")
        await (await alice.ping())
    async with knock(signer.audience, signer.good()) as alice:
        await alice.recv()
        await alice.send("may I?")
        assert await alice.recv() == "alice: may I?"


@pytest.mark.parametrize(
    ("patterns", "allowed"),
    [
        (["chat:*:send"], True),
        (["chat:**"], True),
        (["**"], True),
        (["**:send"], True),
        (["chat:**:send"], True),
        (["chat:lobby:send:**"], True),
        (["*:send"], False),
        (["chat:*"], False),
        (["chat:*:*:send"], False),
        (["chat:**:read"], False),
        (["*"], False),
    ],
    ids=str,
)
async def test_patterns_mean_what_they_mean_to_wsauth(signer: Signer, patterns: list[str], allowed: bool) -> None:
    """The example and wsauth agree about each pattern."""
    may = Permissions([], patterns)
    assert may.allow("chat:lobby:send") is allowed
    said = await greeting(knock(signer.audience, signer.good(may=may)))
    assert said == f"hello alice, you may {'' if allowed else 'not '}speak"


async def test_headers_alone_let_nobody_in(signer: Signer) -> None:
    """Whoever reaches the port may write what the gateway writes, except the assertion."""
    copied = {"X_Wsauth_Subject": "alice", "X_Wsauth_Issuer": "wsauth", "X_Wsauth_Roles": "member"}
    assert await status(knock(signer.audience)) == 401
    assert await status(knock(signer.audience, **copied)) == 401
    assert await status(knock(signer.audience, "", **copied)) == 401
    assert await status(knock(signer.audience, "a.b.c", **copied)) == 401


async def test_an_assertion_is_good_once(signer: Signer) -> None:
    """Whoever overhears one comes too late with it; two in one handshake are none."""
    assertion = signer.good()
    assert await greeting(knock(signer.audience, assertion)) == "hello alice, you may speak"
    assert await status(knock(signer.audience, assertion)) == 401
    assert await status(knock(signer.audience, signer.good(), signer.good())) == 401


async def test_an_old_assertion_is_none(signer: Signer) -> None:
    """A minute and the leeway after it was signed it is refused, and not before."""
    assert await greeting(knock(signer.audience, signer.good(ago=50))) == "hello alice, you may speak"
    assert await status(knock(signer.audience, signer.good(ago=70))) == 401


async def test_an_assertion_for_another_backend_is_none(signer: Signer) -> None:
    """Nor one of another server with the same keys."""
    assert await status(knock(signer.audience, signer.good(audience="ws://127.0.0.1:1"))) == 401
    assert await status(knock(signer.audience, signer.good(issuer="https://mallory.example.com"))) == 401


@pytest.mark.parametrize("type_", ["at+jwt", "JWT"])
async def test_another_kind_of_token_is_none(signer: Signer, type_: str) -> None:
    """The same claims, signed by the same key, but called otherwise."""
    assert await status(knock(signer.audience, signer.keys.sign(type_, signer.claims(jti=type_)))) == 401


@pytest.mark.parametrize("name", ["iss", "aud", "iat", "exp", "jti", "cid"])
async def test_an_assertion_without_one_of_its_claims_is_none(signer: Signer, name: str) -> None:
    """What is not said cannot be checked."""
    whole = signer.keys.sign(ASSERTION_TYPE, signer.claims())
    assert await greeting(knock(signer.audience, whole)) == "hello alice, you may speak"
    assert await status(knock(signer.audience, signer.keys.sign(ASSERTION_TYPE, signer.claims(**{name: None})))) == 401


def _none(claims: dict[str, Any], head: dict[str, Any]) -> str:
    return jwt.encode(claims, "", "none", headers=head)


def _by_secret(claims: dict[str, Any], head: dict[str, Any]) -> str:
    return jwt.encode(claims, head["kid"] * 4, "HS256", headers=head)


def _by_mallory(claims: dict[str, Any], head: dict[str, Any]) -> str:
    return jwt.encode(claims, Ed25519PrivateKey.generate(), "EdDSA", headers=head)


def _by_an_unknown_key(claims: dict[str, Any], head: dict[str, Any]) -> str:
    return _by_mallory(claims, {**head, "kid": "mallory"})


@pytest.mark.parametrize("forge", [_none, _by_secret, _by_mallory, _by_an_unknown_key])
async def test_what_the_gateway_did_not_sign_is_none(
    signer: Signer, forge: Callable[[dict[str, Any], dict[str, Any]], str]
) -> None:
    """Unsigned, signed by a secret that is public, by another key under our key's name, by a key of another name."""
    head = {"typ": ASSERTION_TYPE, "kid": jwt.get_unverified_header(signer.good())["kid"]}
    assert await status(knock(signer.audience, forge(signer.claims(sub="mallory"), head))) == 401
    assert await greeting(knock(signer.audience, signer.good())) == "hello alice, you may speak"


async def test_through_the_gateway(examples: Examples, language: str) -> None:
    """Alice is greeted by name, and may come as often as she likes: each handshake has its own assertion."""
    door = examples.at.door(backend(language, examples.ports[language]))
    for _ in range(3):
        assert await greeting(door.connect("lobby")) == "hello alice, you may speak"
