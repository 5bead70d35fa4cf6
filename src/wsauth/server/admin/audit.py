"""The audit log, for whoever collects it: the oldest entry first, page after page."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query

from wsauth.core.audit import Row
from wsauth.errors import Refused
from wsauth.interfaces.audit import Query as Asked
from wsauth.server.admin.access import permitted
from wsauth.server.admin.paging import After, Limit, Page
from wsauth.server.plane import Plane
from wsauth.server.problems import Unfit

__all__ = ["audit_routes"]

Text = Annotated[str | None, Query(max_length=256)]
Time = Annotated[float | None, Query(ge=0, le=1e11, allow_inf_nan=False, description="Seconds since the epoch.")]


def audit_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/audit", tags=["admin: audit"], dependencies=[Depends(permitted(plane))])

    @router.get("")
    async def list_audit(
        limit: Limit = 100,
        after: After = "",
        *,
        since: Time = None,
        until: Time = None,
        event: Text = None,
        subject: Text = None,
        address: Text = None,
        code: Text = None,
        id: Text = None,
    ) -> Page[dict[str, Any]]:
        """List entries in the order of their times; an entry of another process may come a second late."""
        store = plane.guard.backend.store
        if store is None or plane.settings.monitoring.audit_log != "store":
            raise Refused("not_found", "the audit log is not in the store: [monitoring] audit_log")
        named = {"event": event, "subject": subject, "address": address, "code": code, "id": id}
        fields = {name: value for name, value in named.items() if value is not None}
        asked = Asked(since=since, until=until, after=_read(after), limit=limit + 1, fields=fields)
        found = await asyncio.to_thread(store.audit.read, asked)
        shown = found[:limit]
        more = _written(shown[-1]) if len(found) > limit else None
        return Page(items=[msgspec.json.decode(row.entry) for row in shown], next=more)

    return router


def _written(row: Row) -> str:
    return f"{row.at!r}.{row.number}.{row.chain}"


def _read(after: str) -> tuple[float, str, int] | None:
    if not after:
        return None
    try:
        second, part, number, chain = after.split(".", 3)
        return float(f"{second}.{part}"), chain, int(number)
    except ValueError:
        raise Unfit(400, "after: it is the `next` of the page before") from None
