"""Echo in Starlette, behind wsauth's middleware."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute

from benchmarks.apps.guarded import make_guard
from benchmarks.apps.starlette_plain import echo
from wsauth.integrations.asgi import WebSocketAuthMiddleware

app = Starlette(
    routes=[WebSocketRoute("/ws", echo)],
    middleware=[Middleware(WebSocketAuthMiddleware, guard=make_guard())],
)
