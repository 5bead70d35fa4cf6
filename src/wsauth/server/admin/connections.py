"""Connections: the open sockets of all processes, and closing one."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response

from wsauth.errors import Refused
from wsauth.server.admin.access import permitted
from wsauth.server.admin.answers import Connection, Ended, Report
from wsauth.server.admin.orders import status_of, under_way
from wsauth.server.admin.paging import After, Limit, Page, page_of
from wsauth.server.plane import Plane
from wsauth.server.problems import Unfit

__all__ = ["connection_routes"]

_ID: Final = re.compile("[0-9a-f]{32}", re.ASCII)

Subject = Annotated[str | None, Query(max_length=256, description="Only those of this identity; with `issuer`.")]
Issuer = Annotated[str | None, Query(max_length=2048, description="Whose subject it is.")]


def connection_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/connections", tags=["admin: connections"], dependencies=[Depends(permitted(plane))])
    orders = plane.guard.backend.orders

    @router.get("")
    async def list_connections(
        limit: Limit = 100, after: After = "", subject: Subject = None, issuer: Issuer = None
    ) -> Page[Connection]:
        """List open connections in the order of their ids."""
        if (subject is None) != (issuer is None):
            raise Unfit(400, "subject and issuer are given together")
        key = None if subject is None or issuer is None else (issuer, subject)
        found = await orders.list(after=after, limit=limit + 1, key=key)
        return page_of([Connection.of(one) for one in found], limit, lambda one: one.id)

    @router.get("/{connection_id}")
    async def show_connection(connection_id: str) -> Connection:
        """Show an open connection."""
        found = await orders.list(after=_before(connection_id), limit=1)
        if not found or found[0].id != connection_id:
            raise _unknown()
        return Connection.of(found[0])

    @router.delete("/{connection_id}", responses=under_way(Ended))
    async def close_connection(connection_id: str, response: Response) -> Ended:
        """Close a connection, as a disconnection; its credentials stay good."""
        _before(connection_id)
        ended = Ended(report=Report.of(await plane.guard.disconnect(connection_id=connection_id)))
        if ended.report.complete and not ended.report.matched:
            raise _unknown()
        response.status_code = status_of(ended.report)
        return ended

    return router


def _before(connection_id: str) -> str:
    """Return the id that one page ends with when the next begins with this one."""
    if not _ID.fullmatch(connection_id):
        raise _unknown()
    number = int(connection_id, 16)
    return f"{number - 1:032x}" if number else ""


def _unknown() -> Refused:
    return Refused("not_found", "there is no such connection, or it is closed")
