"""Tickets for users of other systems, and of ours: a backend that knows who somebody is lets them connect."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from pydantic import Field

from wsauth.core.identity import OWN_ISSUER, RESERVED, Identity
from wsauth.core.users import demands
from wsauth.errors import Refused
from wsauth.server.admin.access import TICKETS, check_admin, permitted
from wsauth.server.answers import Ticket
from wsauth.server.api.tickets import check_path
from wsauth.server.plane import Body, Plane
from wsauth.server.problems import Unfit

__all__ = ["ticket_routes"]

_LONGEST: Final = 300
"""Seconds that a ticket may wait to be used."""

Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^*,]+$")]
Names = Annotated[list[Name], Field(max_length=256)]


class TicketOrder(Body):
    """Be whom a ticket lets in. Without `issuer`, or with `wsauth`, it is a user of ours, with the rights they have."""

    issuer: Annotated[str, Field(min_length=1, max_length=2048)] = OWN_ISSUER
    subject: Annotated[str, Field(min_length=1, max_length=1024)]
    roles: Names | None = None
    permissions: Names | None = None
    path: Annotated[str, Field(max_length=2048)] | None = None
    origin: Annotated[str, Field(max_length=512)] | None = None
    expires_in: Annotated[int, Field(ge=1, le=_LONGEST)] | None = None


def ticket_routes(plane: Plane) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/tickets", tags=["admin: tickets"])

    @router.post("")
    async def make_ticket(body: TicketOrder, asking: Annotated[Identity, Depends(permitted(plane, TICKETS))]) -> Ticket:
        """Make a single-use ticket for somebody, bound to a path and an origin where they are given."""
        check_path(plane, body.path)
        _check_origin(plane, body)
        whom = await _own(plane, body, asking) if body.issuer == OWN_ISSUER else _other(body)
        ttl = plane.settings.tokens.ticket_ttl if body.expires_in is None else body.expires_in
        made = await plane.guard.issue_ticket(whom, path=body.path, origin=body.origin, ttl=ttl)
        return Ticket(ticket=made, expires_in=int(ttl))

    return router


def _check_origin(plane: Plane, body: TicketOrder) -> None:
    origins = plane.guard.origins if body.path is None else plane.guard.routes.find(body.path).origins
    if body.origin is not None and not origins.allow(body.origin):
        raise Unfit(400, "origin: it is not an allowed origin")


async def _own(plane: Plane, body: TicketOrder, asking: Identity) -> Identity:
    """Return a user of ours with the rights they have now; the ticket dies with their logins."""
    if body.roles is not None or body.permissions is not None:
        raise Unfit(400, "roles, permissions: a user of ours has their own")
    user = await plane.local.users.get(body.subject)
    if user.disabled:
        raise Refused("conflict", f"{user.username} is disabled")
    if user.grants:
        check_admin(asking)
    return Identity(
        user.username,
        issuer=OWN_ISSUER,
        roles=user.roles,
        grants=user.grants,
        claims={"epoch": user.epoch, "kind": "ticket", **demands(user)},
    )


def _other(body: TicketOrder) -> Identity:
    roles, permissions = body.roles or (), body.permissions or ()
    if any(name.startswith(RESERVED) for name in (*roles, *permissions)):
        raise Unfit(400, f"roles, permissions: what begins with {RESERVED} is for users of ours, by a grant")
    return Identity(body.subject, issuer=body.issuer, roles=roles, permissions=permissions)
