"""`GET /auth/verify`: a proxy asks for every request whether it may pass (nginx `auth_request`, Traefik, Caddy)."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from wsauth.core.forwarded import identity_headers
from wsauth.core.identity import NOBODY
from wsauth.core.routes import NOWHERE
from wsauth.errors import PermissionDenied, Refused
from wsauth.server.plane import Plane, authenticated
from wsauth.server.problems import NO_STORE

__all__ = ["verify_routes"]


def verify_routes(plane: Plane) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/auth", tags=["proxies"])

    @router.get("/verify", status_code=204)
    async def verify(request: Request) -> Response:
        """Say who the request is from, in headers, or why it may not pass. For proxies and loopback only."""
        _check_asker(plane, request)
        plane.check_granting()
        who = authenticated(request)
        policy = plane.guard.routes.find(_path(request))
        nobody = who.identity is NOBODY and who.refused is None and policy.anonymous
        identity = NOBODY if nobody else who.require()
        permissions = plane.guard.roles.resolve(identity)
        for name in () if policy is NOWHERE else policy.require:
            if not permissions.allow(name):
                raise PermissionDenied(name)
        return Response(status_code=204, headers={**dict(identity_headers(identity, permissions)), **NO_STORE})

    return router


def _check_asker(plane: Plane, request: Request) -> None:
    """Go on only for who stands in front of us; with trusted proxies nobody else gets here."""
    if plane.settings.server.trusted_proxies:
        return
    host = request.client.host if request.client else ""
    if host and not ip_address(host).is_loopback:
        raise Refused("permission_denied", "only a proxy may ask", mend="server.trusted_proxies")


def _path(request: Request) -> str:
    """Return the path that the proxy was asked for; empty where it does not say."""
    headers = request.headers
    return urlsplit(headers.get("x-forwarded-uri") or headers.get("x-original-uri") or "").path
