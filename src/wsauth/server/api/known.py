"""What everybody may know: keys, how to authenticate here, and whether we are well."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from wsauth.core.protocol.wire import SUBPROTOCOL, VERSION
from wsauth.core.refusals import TABLE
from wsauth.core.routes import Policy
from wsauth.server.plane import Plane
from wsauth.services.signing import JWKS_LIFETIME

__all__ = ["known_routes"]


def known_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["public"])

    @router.get("/.well-known/jwks.json")
    async def jwks() -> JSONResponse:
        """Return the keys that verify our access tokens (RFC 7517)."""
        document = {"keys": plane.local.signing.published()}
        return JSONResponse(document, headers={"Cache-Control": f"public, max-age={JWKS_LIFETIME:.0f}"})

    @router.get("/.well-known/websocket-auth")
    async def discovery() -> dict[str, Any]:
        """Say how to authenticate here."""
        return _discovery(plane)

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Say that the process lives."""
        return "ok"

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", response_class=PlainTextResponse)
    async def readyz() -> Response:
        """Say whether the process grants what it should, or what is missing."""
        missing = _missing(plane)
        return PlainTextResponse(missing or "ready", 503 if missing else 200, headers={"Cache-Control": "no-store"})

    return router


def _missing(plane: Plane) -> str:
    guard = plane.guard
    if plane.draining():
        return "draining"
    if not guard.follower.ready:
        return "starting"
    if guard.follower.lost:
        return "feed"
    store = guard.backend.store
    return "" if store is None or store.reachable else "store"


def _discovery(plane: Plane) -> dict[str, Any]:
    settings = plane.settings
    policies = [plane.guard.routes.find(route.path.removesuffix("*")) for route in settings.routes]
    return {
        "wsauth": VERSION,
        "issuer": plane.local.tokens.issuer,
        "subprotocol": SUBPROTOCOL,
        "login": "/auth/login",
        "refresh": "/auth/refresh",
        "ticket": "/auth/ticket",
        "logout": "/auth/logout",
        "jwks": "/.well-known/jwks.json",
        "providers": {name: f"/auth/oauth/{name}/start" for name in plane.local.providers},
        "routes": [_described(policy) for policy in policies],
        "codes": {
            code: {"status": rule.status, "close": rule.close, "action": rule.action} for code, rule in TABLE.items()
        },
        "timings": {
            "access_ttl": settings.tokens.access_ttl,
            "refresh_ttl": settings.tokens.refresh_ttl,
            "session_ttl": settings.tokens.session_ttl,
            "refresh_grace": settings.tokens.refresh_grace,
            "ticket_ttl": settings.tokens.ticket_ttl,
        },
    }


def _described(policy: Policy) -> dict[str, Any]:
    return {
        "path": policy.path,
        "sources": sorted(policy.sources),
        "anonymous": policy.anonymous,
        "subprotocols": policy.subprotocols,
        "auth_timeout": policy.auth_timeout,
        "auth_attempts": policy.auth_attempts,
        "grace": policy.grace,
        "max_message": policy.max_message,
    }
