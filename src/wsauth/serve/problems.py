"""A no that needs no application: `application/problem+json` (RFC 9457), over ASGI."""

from wsauth.gateway.responses import problem
from wsauth.integrations.asgi.types import Scope, Send

__all__ = ["answer"]


async def answer(scope: Scope, send: Send, code: str, status: int, rule: str) -> None:
    """Answer a request with a no."""
    client = scope.get("client")
    headers, body = problem(code, status, rule, client[0] if client else "")
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
