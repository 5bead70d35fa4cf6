"""An identity provider for the tests: keys of this run, tokens signed by PyJWT, documents over real HTTP."""

import asyncio
import json
import re
import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from secrets import token_hex
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.leaks import secret
from wsauth.core.credentials import Credentials
from wsauth.errors import Refused
from wsauth.verifiers.jwt import JWTVerifier

ISSUER = "https://login.example.com"
AUDIENCE = "chat"
NOW = 1_800_000_000
SECRET = secret(token_hex(32), "the key of the tests")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def private_key(algorithm: str, which: str = "") -> PrivateKey:
    """Draw a key that can do an algorithm, once per run for each `which`."""
    return _drawn("RSA" if algorithm[0] in "RP" else algorithm, which)


@cache
def _drawn(kind: str, _which: str) -> PrivateKey:
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    if kind == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(algorithm: str, which: str = "") -> bytes:
    """Return the public half as PEM."""
    return private_key(algorithm, which).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_jwk(algorithm: str, which: str = "", **members: Any) -> dict[str, Any]:
    """Return the public half as a JWK with those other members."""
    public = private_key(algorithm, which).public_key()
    if isinstance(public, rsa.RSAPublicKey):
        jwk = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        jwk = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        jwk = OKPAlgorithm.to_jwk(public, as_dict=True)
    return {name: value for name, value in jwk.items() if name != "key_ops"} | members


def claims(**changes: Any) -> dict[str, Any]:
    """Return Alice's claims with these changes; `None` takes one away."""
    every = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "exp": NOW + 3600,
        "iat": NOW,
        "jti": "t1",
    } | changes
    return {name: value for name, value in every.items() if value is not None}


def signed(
    payload: Mapping[str, Any], algorithm: str = "HS256", which: str = "", key: Any = None, **header: Any
) -> str:
    """Return a token as PyJWT makes it."""
    if key is None:
        key = SECRET if algorithm.startswith("HS") else private_key(algorithm, which)
    return jwt.encode(dict(payload), key, algorithm, headers=header or None)


def base64url(content: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(content).decode().rstrip("=")


def forged(header: bytes, payload: bytes, algorithm: str = "HS256", key: Any = None, which: str = "") -> str:
    """Return a token of exactly these bytes with a good signature."""
    signed_part = f"{base64url(header)}.{base64url(payload)}"
    if key is None:
        key = SECRET if algorithm == "HS256" else private_key(algorithm, which)
    maker = jwt.PyJWS().get_algorithm_by_name(algorithm)
    return f"{signed_part}.{base64url(maker.sign(signed_part.encode(), maker.prepare_key(key)))}"


def as_json(value: object) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def presented(token: str) -> Credentials:
    """Return a token as a header brings it."""
    return Credentials("token", token, source="header")


async def verdict(verifier: JWTVerifier, token: str) -> str:
    """Return `issuer|subject`, the refusal's code, or `not mine`."""
    try:
        identity = await verifier.verify(presented(token))
    except Refused as no:
        return "leaked" if token in f"{no} {no.mend}" else no.code
    return "not mine" if identity is None else "|".join(identity.key)


class Timer:
    """Be one pending call of a `SteppedClock`."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the call."""
        self.callback = None


class SteppedClock:
    """Tell a time that the test moves."""

    def __init__(self, now: float = NOW) -> None:
        self._now = now
        self._timers: list[Timer] = []

    def now(self) -> float:
        """Return the time the test set."""
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Keep the call until the test moves the time past it."""
        timer = Timer(when, callback)
        self._timers.append(timer)
        return timer

    def lose_timers(self) -> None:
        """Forget all calls, as a loop that is closed does."""
        self._timers = []

    def advance(self, seconds: float) -> None:
        """Move the time on and make the calls that are due."""
        self._now += seconds
        due = [timer for timer in self._timers if timer.when <= self._now]
        self._timers = [timer for timer in self._timers if timer.when > self._now]
        for timer in sorted(due, key=lambda timer: timer.when):
            if timer.callback is not None:
                timer.callback()


class Provider:
    """Serve documents on 127.0.0.1 and count who asks.

    Attributes:
        answers: path → a JSON value, raw response bytes, or `None` for never answering.
        gates: path → what has to be set before it answers.
        asked: the paths, in order.
        requests: heads and bodies of the requests, in order.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.url = ""
        self.gates: dict[str, asyncio.Event] = {}
        self._waiting = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()

    def publish(self, *keys: dict[str, Any]) -> None:
        """Publish a key set at `/jwks`, with the discovery document."""
        self.answers["/jwks"] = {"keys": list(keys)}
        self.answers["/.well-known/openid-configuration"] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
        }

    def break_down(self) -> None:
        """Answer 503 to everything."""
        self.answers = dict.fromkeys(self.answers, b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n")

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            length = re.search(rb"(?i)content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            self.requests.append((head.decode(), body.decode()))
            self.asked.append(path)
            answer = self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            if answer is None:
                await self._waiting.wait()
            if path in self.gates:
                await self.gates[path].wait()
            writer.write(answer if isinstance(answer, bytes) else response(as_json(answer)))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._answering.discard(task)

    async def aclose(self) -> None:
        """Let go of those that wait for an answer, and wait until they have gone."""
        self.answers = {}
        self._waiting.set()
        for gate in self.gates.values():
            gate.set()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an HTTP response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def provider(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Provider]:
    """Run a provider on a free port, over TLS where a context is given."""
    it = Provider()
    server = await asyncio.start_server(it.handle, "127.0.0.1", 0, ssl=tls)
    it.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()
        await it.aclose()
        await server.wait_closed()


async def eventually(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Let the loop run until `condition` holds, and fail when it does not within that many seconds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 # the subject has nothing that could set an event
            await asyncio.sleep(0.005)
