"""Echo in bare ASGI, behind wsauth's middleware."""

from benchmarks.apps.bare_plain import app as plain
from benchmarks.apps.guarded import make_guard
from wsauth.integrations.asgi import WebSocketAuthMiddleware

app = WebSocketAuthMiddleware(plain, guard=make_guard())
