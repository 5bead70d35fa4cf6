"""The admin API, put together (CONTRACT section 4)."""

from functools import cache
from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from wsauth.core.origins import Origins
from wsauth.errors import Refused
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.server.admin.access import permitted
from wsauth.server.admin.metrics import metrics_routes
from wsauth.server.admin.routes import admin_routes
from wsauth.server.document import PROBLEMS, document
from wsauth.server.plane import Plane
from wsauth.server.problems import Problems, no_store
from wsauth.server.sites import Sites
from wsauth.services.users import GRANTS

__all__ = ["admin_api"]


def admin_api(plane: Plane) -> ASGIApp:
    """Return the application that answers on the admin listener: HTTP, for programs, and nothing else."""
    problems = Problems(plane.guard.bus, plane.guard.backend.clock, plane.guard.throttling)
    app = FastAPI(
        title="wsauth",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(no_store)],
        responses=PROBLEMS,
        redirect_slashes=False,
    )
    problems.install(app)
    app.include_router(admin_routes(plane))
    app.include_router(metrics_routes(plane))
    drawn = cache(lambda: document(plane))

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(permitted(plane, *GRANTS))])
    async def openapi() -> dict[str, Any]:
        """Describe the whole HTTP API to whoever holds a grant (ATTACKS AD-10)."""
        return drawn()

    # No page may send anything here, whatever it knows: cross-site requests and DNS rebinding come with an Origin.
    guarded: ASGIApp = WebSocketAuthMiddleware(Sites(app, Origins([]), problems), guard=plane.guard, blocks=False)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            nothing = Refused("not_found", "no WebSocket is served on the admin listener")
            await receive()
            refusal = problems.answer(Request({**scope, "type": "http", "method": "GET"}), nothing)
            await refusal(scope, receive, send)
        else:
            await guarded(scope, receive, send)

    return answer
