"""LG-01: on every server, with everything logged, no secret is written: a canary in every slot, all output searched."""

import asyncio
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Sequence
from secrets import token_hex

import pytest

from tests.attacks.cast import COOKIE, ISSUER, ORIGIN, PASSWORDS, token
from tests.attacks.wire import ask, frame, request, wire
from tests.leaks import secret as register
from tests.servers import SERVERS, LogLevel, Running, serve

APP = "tests.attacks.apps:app"


class Canaries:
    """Draw secrets and remember them."""

    def __init__(self) -> None:
        self.drawn: dict[str, str] = {}

    def opaque(self, slot: str) -> str:
        """Return a secret that is no token."""
        return self.note(slot, f"canary{token_hex(12)}")

    def jwt(self, slot: str, **changes: object) -> str:
        """Return a token; its claims and its signature are searched apart."""
        found = token(**changes)  # type: ignore[arg-type]  # claims of any kind
        _, payload, signature = found.split(".")
        self.note(f"{slot}: claims", payload[20:60])
        self.note(f"{slot}: signature", signature[:20])
        return found

    def note(self, slot: str, secret: str) -> str:
        """Remember a secret."""
        self.drawn[slot] = secret
        return register(secret, f"the canary {slot!r}")

    def found_in(self, written: str) -> list[str]:
        """Return the slots whose secrets were written."""
        return [slot for slot, secret in self.drawn.items() if secret in written]


def basic(username: str, password: str) -> str:
    """Return an Authorization header's value (RFC 7617)."""
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


def handshakes(canaries: Canaries, ticket: str) -> list[tuple[str, Sequence[str]]]:
    """Return paths and header lines with a canary in every slot of a handshake."""
    secret, jwt = canaries.opaque, canaries.jwt
    wrong = basic("alice", secret("wrong password"))
    canaries.note("wrong password, encoded", wrong[16:])
    right = basic("alice", PASSWORDS["alice"])
    canaries.note("password", PASSWORDS["alice"])
    canaries.note("password, encoded", right[16:])
    encoded = urlsafe_b64encode(secret("opaque offer").encode()).decode().rstrip("=")
    canaries.note("opaque offer, encoded", encoded)
    page = f"Origin: {ORIGIN}"
    offer = "Sec-WebSocket-Protocol: wsauth.v1, wsauth."
    return [
        ("/ws", [f"Authorization: Bearer {jwt('header')}"]),
        ("/ws", [f"Authorization: Bearer {jwt('forged', secret='x' * 32)}"]),
        ("/ws", [f"Authorization: Bearer {jwt('expired', exp=1_700_000_000, iat=1_699_999_000)}"]),
        ("/ws", [f"Authorization: Bearer {secret('opaque header')}"]),
        ("/ws", [f"Authorization: Bearer {secret('two words')} {secret('second word')}"]),
        ("/ws", [f"Authorization: {secret('no scheme')}"]),
        ("/ws", [f"Authorization: Bearer {jwt('one of two')}", f"Authorization: Bearer {jwt('two of two')}"]),
        ("/ws", [f"Authorization: Bearer {secret('oversized') + 'A' * 7_000}"]),
        ("/ws", [f"Authorization: Bearer odd-raise-{secret('verifier that raises')}"]),
        ("/ws", [f"Authorization: Bearer odd-unknown-{secret('verifier that refuses')}"]),
        ("/basic", [f"Authorization: {wrong}"]),
        ("/basic", [f"Authorization: {right}"]),
        ("/basic", [f"Authorization: Basic {secret('no base64')}"]),
        ("/ws", [page, f"Cookie: theme=dark; {COOKIE}={jwt('cookie')}"]),
        ("/ws", [page, f"Cookie: {COOKIE}={secret('opaque cookie')}; other={secret('another cookie')}"]),
        ("/ws", [f"Cookie: {COOKIE}={jwt('cookie without origin')}"]),
        (f"/ws?ticket={canaries.note('ticket', ticket)}", []),
        (f"/ws?x=1&ticket={secret('wrong ticket')}&y=2", []),
        (f"/ws?tick%65t={secret('escaped name')}", []),
        ("/ws", [f"{offer}ticket.{secret('ticket offer')}"]),
        ("/ws", [f"{offer}bearer.{jwt('offer')}"]),
        ("/ws", [f"{offer}bearer.{encoded}"]),
        ("/ws", [f"{offer}bearer.{secret('malformed offer')}!"]),
        ("/ws", [f"Sec-WebSocket-Protocol: wsauth.bearer.{jwt('only offer')}"]),
        ("/ws", [f"Sec-WebSocket-Protocol: {secret('malformed')} {secret('header')}"]),
        ("/insecure", [f"Sec-WebSocket-Protocol: {jwt('bare offer')}"]),
        ("/insecure", [f"Sec-WebSocket-Protocol: chat, {jwt('forged bare offer', secret='x' * 32)}"]),
        *((f"/insecure?{name}={jwt(f'query {name}')}", []) for name in ("token", "access_token", "authorization")),
        *((f"/ws?{name}={secret(f'refused query {name}')}", []) for name in ("token", "access_token")),
        (f"/ws?authorization=Bearer%20{secret('scheme in the query')}", []),
        (f"/insecure?TOKEN={jwt('upper case')}&access%5Ftoken={jwt('ambiguous')}", []),
        ("/chat/broken", [f"Authorization: Bearer {jwt('application that fails')}"]),
        ("/ws", [f"Authorization: Bearer {jwt('bad head')}", "Sec-WebSocket-Version: 8"]),
        ("/ws", [f"Authorization: Bearer {jwt('no host')}", "Host: a/b"]),
        ("/ws", [f"Authorization: Bearer {jwt('bad key')}", "Sec-WebSocket-Key: short"]),
    ]


def messages(canaries: Canaries, ticket: str) -> list[list[str]]:
    """Return what clients of their own send on connections that wait for it."""
    secret, jwt = canaries.opaque, canaries.jwt

    def auth(**members: str) -> str:
        return json.dumps({"type": "auth", **members})

    canaries.note("ticket in a message", ticket)
    return [
        [auth(token=jwt("message")), auth(token=jwt("renewal")), "boom"],
        [auth(token=jwt("forged message", secret="x" * 32)), auth(token=jwt("second"))],
        [auth(token=secret("opaque message")), auth(ticket=secret("wrong ticket message")), "hello"],
        [auth(ticket=ticket), auth(token=jwt("renewal as another", sub="mallory"))],
        [auth(username="alice", password=secret("password message")), auth(password=secret("no name"))],
        [auth(token=jwt("doubled"))[:-1] + f',"token":"{secret("doubled again")}"}}'],
        [f"Authorization: Bearer {jwt('plain text')}"],
        [f"Authorization: {basic('alice', secret('plain text password'))}"],
        [auth(token=secret("oversized message") + "A" * 20_000)],
        [auth(token=f"odd-raise-{secret('raising message')}")],
        ['{"type":"auth","token":"' + secret("cut off")],
    ]


async def shake(running: Running, path: str, lines: Sequence[str]) -> None:
    """Try one handshake, and have the application look at its scope and fail."""
    async with wire(running.port, request(path, *lines)) as client:
        if (await client.answer()).status == 101:
            client.send(frame("scope"), frame("boom"))
            await client.cut(within=0.3)


async def talk(running: Running, texts: Sequence[str]) -> None:
    """Say these messages on a connection that waits for authentication."""
    async with wire(running.port, request("/basic", "Sec-WebSocket-Protocol: wsauth.v1")) as client:
        assert (await client.answer()).status == 101
        client.send(*(frame(text) for text in texts))
        await client.cut(within=0.5)


async def send_all(running: Running, canaries: Canaries) -> None:
    """Present every canary, and let the application write what it wants about it."""
    shaking = [shake(running, *each) for each in handshakes(canaries, await ask(running.port, "ticket"))]
    await asyncio.gather(*shaking)
    await asyncio.gather(*(talk(running, texts) for texts in messages(canaries, await ask(running.port, "ticket"))))
    revoked = canaries.jwt("revoked")
    async with wire(running.port, request("/ws", f"Authorization: Bearer {revoked}")) as client:
        assert (await client.answer()).status == 101
        await ask(running.port, "revoke", subject="alice", issuer=ISSUER)
        assert await client.ended()


EVERYTHING = [(server, "debug") for server in SERVERS] + [
    ("uvicorn-sansio", "trace"),
    ("uvicorn-wsproto", "trace"),
    ("daphne", "trace"),
]


@pytest.mark.parametrize(("server", "log_level"), EVERYTHING)
async def test_lg_01_no_secret_is_written_on_any_server_at_debug(server: str, log_level: LogLevel) -> None:
    """A canary in every slot of handshake and messages, and none of them in anything the process wrote."""
    canaries = Canaries()
    async with serve(APP, server=server, log_level=log_level) as running:
        await send_all(running, canaries)
        written = running.output()
    assert canaries.found_in(written) == []
    assert "HandshakeRefused" in written
    assert len(canaries.drawn) > 60
