"""Orders: revocations, after which nobody comes back with what they had, and disconnections, after which they may."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from wsauth.core import events
from wsauth.core.identity import Identity
from wsauth.errors import Refused
from wsauth.interfaces.audit import recording
from wsauth.server.admin.access import REVOKE, check_admin, permitted
from wsauth.server.admin.answers import Report
from wsauth.server.plane import Body, Plane
from wsauth.server.problems import Unfit
from wsauth.services.connections.connections import Report as Reported

__all__ = ["Confirmed", "order_routes", "status_of", "under_way"]

_UNDER_WAY: Final = "Not every connection is closed yet: ask again by the report's id."

Name = Annotated[str, Field(min_length=1, max_length=2048)]


def _confirmed(value: bool) -> bool:
    if not value:
        raise ValueError("leave it out, or write true")
    return value


# Not Literal[True]: that takes 1 as well, and what cannot be taken back is asked for by exactly this word.
Confirmed = Annotated[bool, AfterValidator(_confirmed), WithJsonSchema({"type": "boolean", "const": True})]


class Disconnection(Body):
    """Be whose connections to close: name exactly one of `subject`, `session_id` and `connection_id`."""

    subject: Name | None = None
    issuer: Name | None = None
    session_id: Name | None = None
    connection_id: Name | None = None
    retry_after: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = None


class Revocation(Body):
    """Be what to make worthless: name exactly one of `subject`, `session_id`, `token_id` and `all`."""

    subject: Name | None = None
    issuer: Name | None = None
    session_id: Name | None = None
    token_id: Name | None = None
    all: Confirmed | None = None


def order_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["admin: orders"])
    may_revoke = permitted(plane, REVOKE)

    @router.post("/disconnections", dependencies=[Depends(may_revoke)], responses=under_way(Report))
    async def disconnect(body: Disconnection, response: Response) -> Report:
        """Close connections; their credentials stay good."""
        _check_one(body, "subject", "session_id", "connection_id")
        _check_issuer(body, "subject")
        report = await plane.guard.disconnect(
            subject=body.subject,
            issuer=body.issuer,
            session_id=body.session_id,
            connection_id=body.connection_id,
            retry_after=body.retry_after,
        )
        return _answer(report, response)

    @router.post("/revocations", responses=under_way(Report))
    async def revoke(body: Revocation, asking: Annotated[Identity, Depends(may_revoke)], response: Response) -> Report:
        """Make credentials worthless, and close what they opened; `all` needs `wsauth:admin`."""
        _check_one(body, "subject", "session_id", "token_id", "all")
        _check_issuer(body, "subject", "token_id")
        if body.all:
            check_admin(asking)
            return _answer(await _revoke_all(plane), response)
        report = await plane.guard.revoke(
            subject=body.subject, issuer=body.issuer, session_id=body.session_id, token_id=body.token_id
        )
        return _answer(report, response)

    @router.get("/disconnections/{order_id}", dependencies=[Depends(may_revoke)])
    async def show_disconnection(order_id: str) -> Report:
        """Say what has come of a disconnection until now."""
        return await _reported(plane, order_id)

    @router.get("/revocations/{order_id}", dependencies=[Depends(may_revoke)])
    async def show_revocation(order_id: str) -> Report:
        """Say what has come of a revocation until now."""
        return await _reported(plane, order_id)

    return router


def under_way(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Describe the 202 of `status_of`."""
    return {202: {"model": model, "description": _UNDER_WAY}}


def status_of(report: Report | None) -> int:
    """Return 200 when all is done, else 202: ask again by the report's id."""
    return 200 if report is None or report.complete else 202


async def _revoke_all(plane: Plane) -> Reported:
    with recording():
        report = await plane.guard.backend.revoke_all()
        plane.guard.bus.publish(events.Revoked(at=plane.now(), id=report.id, matched=report.matched))
    return report


async def _reported(plane: Plane, order_id: str) -> Report:
    report = await plane.guard.backend.orders.report(order_id)
    if report is None:
        raise Refused("not_found", "there is no such order, or what it did is no longer kept")
    return Report.of(report)


def _answer(report: Reported, response: Response) -> Report:
    answer = Report.of(report)
    response.status_code = status_of(answer)
    return answer


def _check_one(body: Body, *names: str) -> None:
    if sum(getattr(body, name) is not None for name in names) != 1:
        raise Unfit(400, f"name exactly one of {', '.join(names)}")


def _check_issuer(body: Disconnection | Revocation, *beside: str) -> None:
    if body.issuer is not None and all(getattr(body, name) is None for name in beside):
        raise Unfit(400, f"issuer: it goes with {' or '.join(beside)}")
