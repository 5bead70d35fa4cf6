"""ATTACKS.md, JW-46: a token is as good, or as bad for the same reason, wherever it is presented."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from tests.attacks.cast import ISSUER, token
from tests.attacks.wire import Wire, ask, frame, request, wire
from tests.issuing import as_json, base64url
from tests.servers import Running

OPENED = ("alice", "")
AT_ONCE = 20
"""Tokens that are tried side by side."""
Verdict = tuple[str, str]


def corpus() -> list[str]:
    """Return 200 tokens: good ones, ones with one thing wrong, and good ones with one character changed."""
    now = int(time.time())
    changes: list[dict[str, Any]] = [
        {},
        {"aud": ["chat", "mail"]},
        {"iat": None},
        {"jti": None},
        {"exp": now + 60.5},
        {"nbf": now - 60},
        {"exp": now - 60},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 10**400},
        {"nbf": now + 600},
        {"iat": now + 600},
        {"iss": None},
        {"iss": f"{ISSUER}/"},
        {"aud": None},
        {"aud": "mail"},
        {"aud": []},
        {"sub": None},
        {"sub": ""},
        {"exp": now + 10**9},
        {"secret": "x" * 32},
        {"roles": "no list"},
        {"scope": ["no", {"text": 1}]},
    ]
    tokens = [token(**each) for each in changes]
    good = token()
    head, payload, signature = good.split(".")
    for algorithm in ("none", "None", "HS512", "RS256", ""):
        header = base64url(as_json({"alg": algorithm, "typ": "at+jwt"}))
        tokens += [f"{header}.{payload}.{signature}", f"{header}.{payload}."]
    tokens += [
        f"{head}.{payload}",
        f"{good}.",
        f".{good}",
        f"{head}..{signature}",
        f"{head}.{payload}.",
        "no-token-at-all",
    ]
    draw = Random(46)
    while len(tokens) < 200:
        at = draw.randrange(len(good))
        tokens.append(good[:at] + draw.choice("Aa0-_.=") + good[at + 1 :])
    return tokens


async def said_by(client: Wire) -> Verdict:
    """Return whose connection the application says it is."""
    client.send(frame("hi"))
    return (await client.text()).partition(":")[0], ""


async def by_header(target: Running, presented: str) -> Verdict:
    """Present it in the header of a handshake."""
    async with wire(target.port, request("/ws", f"Authorization: Bearer {presented}")) as client:
        answer = await client.answer()
        return await said_by(client) if answer.status == 101 else ("", answer.code)


async def by_subprotocol(target: Running, presented: str) -> Verdict:
    """Present it among the subprotocols, in base64url, which is for any token."""
    offer = f"Sec-WebSocket-Protocol: wsauth.v1, wsauth.bearer.{base64url(presented.encode())}"
    async with wire(target.port, request("/ws", offer)) as client:
        answer = await client.answer()
        if answer.status != 101:
            return "", answer.code
        await client.message("auth_success")
        return await said_by(client)


async def by_message(target: Running, presented: str) -> Verdict:
    """Present it in the first message."""
    async with wire(target.port, request("/ws")) as client:
        assert (await client.answer()).status == 101
        await client.message("auth_required")
        client.send(frame(json.dumps({"type": "auth", "token": presented})))
        said = json.loads(await client.text())
        return ("", said["code"]) if said["type"] == "auth_error" else await said_by(client)


async def by_request(target: Running, presented: str) -> Verdict:
    """Present it in an HTTP request."""
    subject, code = await ask(target.port, "me", f"Authorization: Bearer {presented}")
    return subject, code


WAYS: list[Callable[[Running, str], Coroutine[Any, Any, Verdict]]] = [by_header, by_subprotocol, by_message, by_request]


async def test_jw_46_a_token_gets_the_same_verdict_wherever_it_is_presented(target: Running) -> None:
    """Header, subprotocol, first message and HTTP agree on two hundred tokens: whose they are, or why they are bad."""
    tokens, verdicts = corpus(), []
    for at in range(0, len(tokens), AT_ONCE):
        some = tokens[at : at + AT_ONCE]
        verdicts += await asyncio.gather(*(asyncio.gather(*(way(target, each) for way in WAYS)) for each in some))
    assert [(each, seen) for each, seen in zip(tokens, verdicts, strict=True) if len(set(seen)) > 1] == []
    found = {seen[0] for seen in verdicts}
    assert {OPENED, ("", "token_invalid"), ("", "token_expired")} <= found
