"""What stands beside the server's HTTP API: the page, and what an administrator may do to the people on it."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse

from wsauth import Identity, RightsChanged
from wsauth.browser import SCRIPT
from wsauth.core.identity import OWN_ISSUER
from wsauth.demo.app import room
from wsauth.server.plane import Body, Plane, authenticated

__all__ = ["ROLES", "site"]

ROLES: Final = {
    "admin": ["chat:*", "people:*"],
    "member": ["chat:read", "chat:send"],
    "reader": ["chat:read"],
}
_PAGE: Final = Path(__file__).with_name("page")
_FILES: Final = {
    "/": (_PAGE / "index.html", "text/html; charset=utf-8"),
    "/demo.js": (_PAGE / "demo.js", "text/javascript; charset=utf-8"),
    "/demo.css": (_PAGE / "demo.css", "text/css; charset=utf-8"),
    "/icon.svg": (_PAGE / "icon.svg", "image/svg+xml"),
    "/wsauth.js": (SCRIPT, "text/javascript; charset=utf-8"),
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_BACK_IN: Final = 5.0
"""Seconds after which somebody who was disconnected may come back."""


class _Role(Body):
    role: Literal["member", "reader"]


def site(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(include_in_schema=False)
    for path, (file, media_type) in _FILES.items():
        response = FileResponse(file, media_type=media_type, headers=_HEADERS)

        async def page(_: Request, response: FileResponse = response) -> FileResponse:
            return response

        router.add_route(path, page)
    _take_orders(router, plane)

    @plane.guard.on(RightsChanged)
    def tell(_: RightsChanged) -> None:
        room.tell_who_is_here()

    return router


def _take_orders(router: APIRouter, plane: Plane) -> None:
    guard, users = plane.guard, plane.local.users

    @router.post("/people/{name}/disconnect")
    async def disconnect(name: str, _: Annotated[Identity, _may("people:disconnect")]) -> dict[str, int]:
        user = await users.get(name)
        report = await guard.disconnect(subject=user.username, issuer=OWN_ISSUER, retry_after=_BACK_IN)
        return {"closed": report.closed}

    @router.post("/people/{name}/revoke")
    async def revoke(name: str, _: Annotated[Identity, _may("people:revoke")]) -> dict[str, int]:
        user = await users.get(name)
        report = await guard.revoke(subject=user.username, issuer=OWN_ISSUER)
        return {"closed": report.closed}

    @router.put("/people/{name}/role")
    async def change(name: str, body: _Role, _: Annotated[Identity, _may("people:change")]) -> dict[str, Any]:
        user = await users.set_rights(name, roles=[body.role])
        return {"roles": user.roles}


def _may(permission: str) -> Any:
    """Depend on whoever sends the request, and on this permission; every no is a problem document."""

    def check(request: Request) -> Identity:
        return authenticated(request).require(permission)

    return Depends(check)
