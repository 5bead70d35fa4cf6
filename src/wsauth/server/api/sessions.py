"""Who am I, my logins and their open connections, and ending them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from wsauth.core.identity import Identity, is_ours
from wsauth.errors import Refused
from wsauth.interfaces.feed import Listed
from wsauth.server.answers import Me, MySessions
from wsauth.server.plane import Plane, permissions_of, somebody, somebody_changing

__all__ = ["session_routes"]

_CONNECTIONS = 1000
"""Open connections that are listed, at most."""


def session_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/auth", tags=["sessions"])
    mine = _Mine(plane)

    @router.get("/me", response_model=Me, response_model_exclude_unset=True)
    async def me(request: Request, me: Annotated[Identity, Depends(somebody_changing)]) -> dict[str, Any]:
        """Say who the caller is; with the cookie also the `csrf_token`."""
        return await mine.me(request, me)

    @router.get("/sessions", response_model=MySessions)
    async def sessions(me: Annotated[Identity, Depends(somebody)]) -> dict[str, Any]:
        """List the caller's logins and open connections."""
        return await mine.list(me)

    @router.delete("/sessions/{session_id}", status_code=204)
    async def end(session_id: str, me: Annotated[Identity, Depends(somebody)]) -> None:
        """End one of the caller's logins; when this answers, its sockets are closed."""
        if not is_ours(me) or not await plane.local.sessions.end(session_id, subject=me.subject, issuer=me.issuer):
            raise Refused("not_found", "the caller has no such session")

    @router.delete("/sessions", status_code=204)
    async def end_all(me: Annotated[Identity, Depends(somebody)]) -> None:
        """End all of the caller's logins; when this answers, their sockets are closed."""
        if not is_ours(me):
            await plane.guard.revoke(subject=me.subject, issuer=me.issuer)
        elif not await plane.local.sessions.end_all(me.subject, me.issuer):
            raise Refused("not_found", "the caller is no user any more")

    return router


class _Mine:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def me(self, request: Request, me: Identity) -> dict[str, Any]:
        now = self._plane.now()
        described: dict[str, Any] = {
            "issuer": me.issuer,
            "subject": me.subject,
            "session_id": me.session_id,
            "roles": me.roles,
            "permissions": permissions_of(request).names,
            "expires_in": None if me.expires_at is None else round(me.expires_at - now),
        }
        if me.claims.get("kind") == "cookie" and me.session_id is not None:
            described["csrf_token"] = self._plane.local.sessions.csrf_token(me.session_id)
        return described

    async def list(self, me: Identity) -> dict[str, Any]:
        plane = self._plane
        limits = plane.local.limits
        sessions = await plane.local.sessions.of(me.subject, me.issuer) if is_ours(me) else ()
        listed = await plane.guard.backend.orders.list(limit=_CONNECTIONS, key=me.key)
        known = {session.id for session in sessions}
        items = [
            {
                "session_id": session.id,
                "kind": session.kind,
                "current": session.id == me.session_id,
                "created_at": session.created_at,
                "refreshed_at": session.refreshed_at,
                "expires_at": limits.ends_at(session),
                "address": session.address,
                "agent": session.agent,
                "connections": [_described(one) for one in listed if one.session_id == session.id],
            }
            for session in sessions
        ]
        return {"items": items, "connections": [_described(one) for one in listed if one.session_id not in known]}


def _described(one: Listed) -> dict[str, Any]:
    names = ("id", "path", "address", "opened_at", "expires_at", "session_id")
    return {name: getattr(one, name) for name in names}
