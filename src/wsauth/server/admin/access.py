"""Who may use the admin API: by Bearer only, with a permission that only a grant gives (ASVS 8.2.1)."""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request

from wsauth.core.identity import OWN_ISSUER, Identity
from wsauth.errors import PermissionDenied, Refused
from wsauth.server.plane import Plane, authenticated

__all__ = ["ADMIN", "METRICS", "REVOKE", "TICKETS", "check_admin", "permitted"]

ADMIN: Final = "wsauth:admin"
METRICS: Final = "wsauth:metrics"
REVOKE: Final = "wsauth:revoke"
TICKETS: Final = "wsauth:tickets"


def permitted(plane: Plane, *permissions: str) -> Callable[[Request], Awaitable[Identity]]:
    """Return the dependency of a route: it returns who asks, if they hold `wsauth:admin` or one of the permissions."""

    async def check(request: Request) -> Identity:
        if request.headers.get("origin") is not None:
            raise Refused("origin_denied", "the admin API is for programs, and a page sent this")
        if not request.headers.get("authorization", "").lower().startswith("bearer "):
            raise Refused("credentials_missing", "the admin API takes a bearer token and nothing else")
        identity = authenticated(request).require()
        if identity.issuer != OWN_ISSUER or not {ADMIN, *permissions} & set(identity.grants):
            raise PermissionDenied(permissions[0] if permissions else ADMIN)
        plane.check_granting()
        return identity

    return check


def check_admin(asking: Identity) -> None:
    """Go on only for a holder of `wsauth:admin`, where the narrower permission of the route is not enough.

    Raises:
        PermissionDenied: it is none.
    """
    if ADMIN not in asking.grants:
        raise PermissionDenied(ADMIN)
