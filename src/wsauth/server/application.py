"""The control plane of one process, put together."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from wsauth.errors import ConfigurationError
from wsauth.guard.configured import backend_of, guard_of
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.server.admin.api import admin_api
from wsauth.server.document import PROBLEMS, PUBLIC, public_document
from wsauth.server.echo import echo
from wsauth.server.oauth.logouts import logout_paths
from wsauth.server.pages import page_routes
from wsauth.server.plane import Plane, Urls, port_of, somebody
from wsauth.server.problems import Problems, no_store
from wsauth.server.sites import Sites
from wsauth.services.connections.connection import Connection
from wsauth.services.metrics import Metrics
from wsauth.settings import Settings

__all__ = ["ControlPlane", "public_api"]

_ECHO: Final = "echo"
_ASGI: Final = "asgi:"


class ControlPlane:
    """Answer HTTP and WebSockets in one process.

    Args:
        settings: the configuration.
        urls: what is served where.
        pages: make the routes beside the HTTP API: what stands at `/`.

    Attributes:
        plane: what every part has at hand.
    """

    def __init__(self, settings: Settings, urls: Urls, pages: Callable[[Plane], APIRouter] = page_routes) -> None:
        port = port_of(urls)
        backend = backend_of(settings, port=port)
        local = backend.local
        if local is None:
            raise ConfigurationError("the server needs its own users")
        self.guard = guard_of(settings, backend, port=port)
        self._draining = False
        workers = local.passwords.workers
        self._metrics = Metrics(self.guard.bus, self.guard.connections, queue=lambda: workers.waiting)
        self._looking: asyncio.Task[None] | None = None
        self.plane = Plane(settings, self.guard, local, urls, metrics=self._metrics, draining=lambda: self._draining)
        self.applications: Mapping[str, ASGIApp] = _applications(settings)
        self.admin: ASGIApp = admin_api(self.plane)
        self.public: ASGIApp = WebSocketAuthMiddleware(public_api(self.plane, pages), guard=self.guard)
        self._assertions = local.assertions

    def assertion(self, connection: Connection, audience: str) -> str | None:
        """Return what tells an upstream who a connection is; `None` where nobody else could verify it."""
        who, what = connection.identity, connection.permissions
        return self._assertions.sign(who, what, audience=audience, connection_id=connection.id)

    async def start(self) -> None:
        """Open the store and read the feed."""
        await self.guard.start()
        self._looking = asyncio.create_task(self._metrics.run())

    async def drain(self, within: float) -> None:
        """Close every socket, spread over so many seconds, for a restart."""
        self._draining = True
        await self.guard.connections.drain(within)

    async def aclose(self) -> None:
        """Let go of everything."""
        if self._looking is not None:
            self._looking.cancel()
        await self.guard.aclose()


def public_api(plane: Plane, pages: Callable[[Plane], APIRouter] = page_routes) -> ASGIApp:
    """Return the application that answers HTTP on the public listener."""
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
    for routes in (*PUBLIC, pages):
        app.include_router(routes(plane))

    drawn = cache(lambda: public_document(plane))

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(somebody)])
    async def document() -> dict[str, Any]:
        """Describe the HTTP API to whoever may use it (ATTACKS AD-10)."""
        return drawn()

    origins = plane.guard.origins
    forms = logout_paths(plane.settings) | ({"/auth/login"} if plane.settings.login.form else set())
    guarded: ASGIApp = Sites(app, origins, problems, forms)
    return CORSMiddleware(
        guarded,
        allow_origins=sorted(plane.settings.origins(port=port_of(plane.urls))),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-CSRF-Token"],
        allow_credentials=not origins.any,
        max_age=600,
    )


def _applications(settings: Settings) -> Mapping[str, ASGIApp]:
    """Return what answers WebSockets in this process: the echo, and applications that are named."""
    found: dict[str, ASGIApp] = {}
    for route in settings.routes:
        for name in route.upstreams:
            if name not in found and (name == _ECHO or name.startswith(_ASGI)):
                found[name] = echo if name == _ECHO else _imported(route.path, name)
    return found


def _imported(path: str, name: str) -> ASGIApp:
    module, _, attribute = name.removeprefix(_ASGI).partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return cast("ASGIApp", getattr(import_module(module), attribute))
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"routes: {path}: upstream {name!r} cannot be imported: {error}") from None
    finally:
        sys.path.pop(0)
