"""`GET /auth/verify`: a proxy asks for every request whether it may pass (nginx `auth_request`, Traefik, Caddy)."""

import re
from ipaddress import ip_address
from typing import Final

from fastapi import APIRouter, Request, Response

from wsauth.core.forwarded import identity_headers
from wsauth.core.identity import NOBODY
from wsauth.core.routes import NOWHERE
from wsauth.errors import PermissionDenied, Refused
from wsauth.server.plane import Plane, authenticated
from wsauth.server.problems import NO_STORE, Unfit

__all__ = ["verify_routes"]

_PATHS: Final = ("x-forwarded-uri", "x-original-uri")
_NORMAL: Final = re.compile(r"/|(?:/(?:[!$&-.0-;=@-Z_a-z~]|%[0-9A-Fa-f]{2})+)+/?", re.ASCII)
"""A path without empty segments (RFC 3986 section 3.3)."""
_DOTS: Final = re.compile(r"/\.\.?(?:/|$)")
_NEEDLESS: Final = re.compile(r"%(?:2[dDeEfF]|3[0-9]|4[1-9a-fA-F]|5[0-9aAcCfF]|6[1-9a-fA-F]|7[0-9aAeE])")
"""What needs no encoding, a slash, or a backslash (RFC 3986 section 6.2.2.2)."""


def verify_routes(plane: Plane) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/auth", tags=["proxies"])

    @router.get("/verify", status_code=204)
    async def verify(request: Request) -> Response:
        """Say who the request is from, in headers, or why it may not pass. For proxies and loopback only."""
        _check_asker(plane, request)
        plane.check_granting()
        who = authenticated(request)
        path = _path(request)
        policy = plane.guard.routes.find(path)
        nobody = who.identity is NOBODY and who.refused is None and policy.anonymous
        if nobody:
            plane.check_address(request)
        identity = NOBODY if nobody else who.require()
        permissions = plane.guard.roles.resolve(identity)
        for name in () if policy is NOWHERE else policy.require:
            if not permissions.allow(name):
                raise PermissionDenied(name)
        return Response(status_code=204, headers={**dict(identity_headers(identity, permissions)), **NO_STORE})

    return router


def _check_asker(plane: Plane, request: Request) -> None:
    """Go on only for who stands in front of us; with trusted proxies nobody else gets here."""
    if request.scope.get("wsauth.proxied"):
        return
    host = request.client.host if request.client else ""
    if host and not ip_address(host).is_loopback:
        raise Refused("permission_denied", "only a proxy may ask", mend="server.trusted_proxies")


def _path(request: Request) -> str:
    """Return the path that the proxy was asked for; empty where it does not say."""
    said = {value for name in _PATHS for value in request.headers.getlist(name)}
    if len(said) > 1:
        raise Unfit(400, "the headers name different paths: let the proxy remove what its clients send")
    path = said.pop().partition("?")[0] if said else ""
    if path and (not _NORMAL.fullmatch(path) or _DOTS.search(path) or _NEEDLESS.search(path)):
        raise Unfit(400, "the path is not in its normal form, so that it may mean another route behind the proxy")
    return path
