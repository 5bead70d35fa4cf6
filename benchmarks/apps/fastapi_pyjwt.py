"""Echo in FastAPI with PyJWT in a dependency, as people write it by hand."""

from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, Header, WebSocket, WebSocketException, status

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET

app = FastAPI()


async def current_user(authorization: Annotated[str | None, Header()] = None) -> dict[str, Any]:
    """Verify the token of the Authorization header and return its claims."""
    if authorization is None or not authorization.startswith("Bearer "):
        raise WebSocketException(code=status.WS_1008_POLICY_VIOLATION)
    token = authorization.removeprefix("Bearer ")
    try:
        return jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.InvalidTokenError:
        raise WebSocketException(code=status.WS_1008_POLICY_VIOLATION) from None


@app.websocket("/ws")
async def echo(socket: WebSocket, user: Annotated[dict[str, Any], Depends(current_user)]) -> None:
    """Answer each message with itself."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)
