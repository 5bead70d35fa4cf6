"""Sessions: the logins of all users, and ending them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from wsauth.core.identity import OWN_ISSUER
from wsauth.errors import Refused
from wsauth.interfaces.sessions import Known
from wsauth.server.admin.access import permitted
from wsauth.server.admin.answers import Ended, Report, Session
from wsauth.server.admin.orders import status_of, under_way
from wsauth.server.admin.paging import After, Limit, Page, page_of
from wsauth.server.plane import Plane

__all__ = ["session_routes"]

Subject = Annotated[str | None, Query(max_length=256, description="Only those of this subject.")]
Issuer = Annotated[str, Query(max_length=2048, description="Whose subject it is.")]


def session_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/sessions", tags=["admin: sessions"], dependencies=[Depends(permitted(plane))])
    sessions, limits = plane.local.sessions, plane.local.limits

    async def known(session_id: str) -> Known:
        found = await sessions.find(session_id)
        if found is None:
            raise Refused("not_found", "there is no such session, or it has ended")
        return found

    @router.get("")
    async def list_sessions(
        limit: Limit = 100, after: After = "", subject: Subject = None, issuer: Issuer = OWN_ISSUER
    ) -> Page[Session]:
        """List live sessions in the order of their ids."""
        if subject is None:
            found = list(await sessions.page(after, limit + 1))
        else:
            user = await plane.local.users.find(subject) if issuer == OWN_ISSUER else None
            theirs = await sessions.of(user.username if user else subject, issuer)
            found = sorted((one for one in theirs if one.id > after), key=lambda one: one.id)
        return page_of([Session.of(one, limits) for one in found], limit, lambda one: one.id)

    @router.get("/{session_id}")
    async def show_session(session_id: str) -> Session:
        """Show a live session."""
        return Session.of((await known(session_id)).session, limits)

    @router.delete("/{session_id}", responses=under_way(Ended))
    async def end_session(session_id: str, response: Response) -> Ended:
        """End a session; when this answers, its sockets are closed."""
        await known(session_id)
        ended = Ended(report=Report.of(await plane.guard.revoke(session_id=session_id)))
        response.status_code = status_of(ended.report)
        return ended

    return router
