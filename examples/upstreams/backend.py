"""A backend behind `wsauth serve` that believes nobody but wsauth: `python examples/upstreams/backend.py`.

Needs `websockets` and `pyjwt[crypto]`, nothing of wsauth. Every handshake must bring a good assertion, so it makes no
difference who else can reach the port. Who somebody is comes from the assertion alone, never from other headers.
"""

import asyncio
import os
import time
from http import HTTPStatus
from typing import Any

import jwt
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

WSAUTH = os.environ.get("WSAUTH", "http://127.0.0.1:8080")  # where its keys are
ISSUER = os.environ.get("ISSUER", WSAUTH)  # tokens.issuer, by default the server's public_url
PORT = int(os.environ.get("PORT", "9000"))
AUDIENCE = os.environ.get("AUDIENCE", f"ws://127.0.0.1:{PORT}")  # `upstream`, exactly as wsauth.toml has it
LEEWAY = 5  # seconds that the two clocks may differ


class Replayed(jwt.InvalidTokenError):
    """Say that an assertion was used before."""


class Doorkeeper:
    """Verify assertions, each once."""

    def __init__(self) -> None:
        # Keys are kept for five minutes. An unknown one is looked for at most every 30 seconds, whoever makes one up.
        self._keys = jwt.PyJWKClient(f"{WSAUTH}/.well-known/jwks.json", lifespan=300, cooldown_duration=30, timeout=5)
        self._used: dict[str, float] = {}  # jti -> when it may be forgotten

    async def verified(self, assertion: str) -> dict[str, Any]:
        """Return the claims of a good assertion.

        Raises:
            jwt.PyJWTError: it is none.
        """
        key = await asyncio.to_thread(self._keys.get_signing_key_from_jwt, assertion)
        found = jwt.decode_complete(
            assertion,
            key,
            algorithms=["EdDSA", "ES256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=LEEWAY,
            options={"require": ["iss", "aud", "iat", "exp", "jti", "cid"]},
        )
        if found["header"].get("typ") != "wsauth-assertion+jwt":
            raise jwt.InvalidTokenError("it is another kind of token")
        claims: dict[str, Any] = found["payload"]
        self._use(claims["jti"], claims["exp"] + LEEWAY)
        return claims

    def _use(self, token_id: str, until: float) -> None:
        while self._used and next(iter(self._used.values())) < time.time():
            del self._used[next(iter(self._used))]
        if token_id in self._used:
            raise Replayed("it was used before")
        self._used[token_id] = until


doorkeeper = Doorkeeper()


async def admit(socket: ServerConnection, request: Request) -> Response | None:
    """Let in whom an assertion speaks of; the answer never says what was wrong."""
    presented = request.headers.get_all("X-Wsauth-Assertion")
    try:
        if len(presented) != 1:
            raise jwt.InvalidTokenError("there is none, or several")
        socket.claims = await doorkeeper.verified(presented[0])  # type: ignore[attr-defined]  # ours; the handler reads it
    except jwt.PyJWTError as why:
        print(f"refused: {why}", flush=True)
        return socket.respond(HTTPStatus.UNAUTHORIZED, "come through the gateway\n")
    return None


def allows(claims: dict[str, Any], name: str) -> bool:
    """Tell whether a permission is held; roles give patterns, in which * is one segment and ** any number."""
    return any(_matches(held.split(":"), name.split(":")) for held in claims.get("permissions", ()))


def _matches(pattern: list[str], name: list[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "**":
        return _matches(pattern[1:], name) or (bool(name) and _matches(pattern, name[1:]))
    return bool(name) and pattern[0] in ("*", name[0]) and _matches(pattern[1:], name[1:])


async def chat(socket: ServerConnection) -> None:
    """Answer every message with it and the name of whoever sent it."""
    claims: dict[str, Any] = socket.claims  # type: ignore[attr-defined]  # `admit` has put it there
    name = claims.get("sub", "somebody")
    await socket.send(f"hello {name}, you may {'' if allows(claims, 'chat:lobby:send') else 'not '}speak")
    async for message in socket:
        if allows(claims, "chat:lobby:send"):
            await socket.send(f"{name}: {message!s}")


async def main() -> None:
    """Listen on loopback."""
    async with serve(chat, "127.0.0.1", PORT, process_request=admit) as server:
        print(f"listening on ws://127.0.0.1:{PORT}", flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
