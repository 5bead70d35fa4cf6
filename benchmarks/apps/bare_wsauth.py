"""Echo in bare ASGI, behind wsauth's middleware."""

from wsauth.integrations.asgi import WebSocketAuthMiddleware

from benchmarks.apps.bare_plain import app as plain
from benchmarks.apps.guarded import make_guard

app = WebSocketAuthMiddleware(plain, guard=make_guard())
