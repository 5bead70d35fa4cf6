"""Plain ASGI: `app.add_middleware(WebSocketAuthMiddleware, guard=guard)`."""

from wsauth.integrations.asgi.middleware import WebSocketAuthMiddleware

__all__ = ["WebSocketAuthMiddleware"]
