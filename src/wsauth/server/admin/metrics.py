"""What Prometheus reads."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from wsauth.server.admin.access import METRICS, permitted
from wsauth.server.plane import Plane

__all__ = ["metrics_routes"]


def metrics_routes(plane: Plane) -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["admin: metrics"], dependencies=[Depends(permitted(plane, METRICS))])

    @router.get("/metrics", response_class=Response)
    async def show_metrics(accept: Annotated[str, Header(include_in_schema=False)] = "") -> Response:
        """Return the numbers of all processes on this port, as Prometheus reads them."""
        text, media_type = plane.metrics.render(accept)
        return Response(text, media_type=media_type)

    return router
