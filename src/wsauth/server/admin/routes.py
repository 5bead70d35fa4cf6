"""All routes of the admin API."""

from fastapi import APIRouter

from wsauth.server.admin.audit import audit_routes
from wsauth.server.admin.blocks import block_routes
from wsauth.server.admin.connections import connection_routes
from wsauth.server.admin.keys import key_routes
from wsauth.server.admin.orders import order_routes
from wsauth.server.admin.sessions import session_routes
from wsauth.server.admin.tickets import ticket_routes
from wsauth.server.admin.users import user_routes
from wsauth.server.plane import Plane

__all__ = ["admin_routes"]

_PARTS = (
    user_routes,
    session_routes,
    connection_routes,
    key_routes,
    ticket_routes,
    order_routes,
    audit_routes,
    block_routes,
)


def admin_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/admin/api")
    for routes in _PARTS:
        router.include_router(routes(plane))
    return router
