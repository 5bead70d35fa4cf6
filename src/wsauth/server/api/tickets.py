"""Tickets for whoever has a good token or cookie."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from wsauth.core.identity import Identity, account_of, is_ours
from wsauth.core.routes import NOWHERE
from wsauth.errors import Refused
from wsauth.server.answers import Ticket
from wsauth.server.plane import Body, Plane, somebody
from wsauth.server.problems import Unfit
from wsauth.services.sessions import identity_of

__all__ = ["check_path", "ticket_routes"]


class TicketWish(Body):
    """Be what a ticket shall be bound to."""

    path: Annotated[str, Field(max_length=2048)] | None = None
    origin: Annotated[str, Field(max_length=512)] | None = None


def ticket_routes(plane: Plane) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/auth", tags=["tickets"])

    @router.post("/ticket", response_model=Ticket)
    async def ticket(
        request: Request, me: Annotated[Identity, Depends(somebody)], wish: TicketWish | None = None
    ) -> dict[str, Any]:
        """Make a single-use ticket, bound to the caller's session, a path and an origin."""
        plane.check_granting()
        limited = plane.guard.throttling.ticket(me)
        if limited is not None:
            raise limited
        path = None if wish is None else wish.path
        origin = None if wish is None else wish.origin
        check_path(plane, path)
        if origin is not None and not plane.guard.origins.allow(origin):
            raise Unfit(400, "origin: it is not an allowed origin")
        made = await plane.guard.issue_ticket(
            await _lasting(plane, me), path=path, origin=origin or request.headers.get("origin")
        )
        return {"ticket": made, "expires_in": int(plane.settings.tokens.ticket_ttl)}

    return router


def check_path(plane: Plane, path: str | None) -> None:
    """Go on only if there is a route at this path, or none is named.

    Raises:
        Unfit: there is none.
    """
    if path is not None and plane.guard.routes.find(path) is NOWHERE:
        raise Unfit(400, "path: there is no route at it")


async def _lasting(plane: Plane, me: Identity) -> Identity:
    """Return the caller as their session has them: its end bounds the lease, not that of the token that asked."""
    if not is_ours(me) or me.session_id is None:
        return me
    known = await plane.local.sessions.find(me.session_id)
    if known is None or known.user.username != account_of(*me.key):
        raise Refused("session_revoked", "the session of the credential has ended")
    return identity_of(known, plane.local.limits)
