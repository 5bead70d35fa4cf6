"""Echo in bare ASGI with PyJWT, as people write it by hand."""

from typing import Any

import jwt

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Accept who brings a good token and answer each message with itself."""
    if scope["type"] != "websocket":
        return
    await receive()
    authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
    token = authorization.removeprefix("Bearer ")
    try:
        scope["user"] = jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.InvalidTokenError:
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": event["text"]})
