"""Who may use the admin API: by Bearer only, with a permission that only a grant gives (ASVS 8.2.1)."""

from collections.abc import Callable

from fastapi import Request

from wsauth.core.identity import OWN_ISSUER, Identity
from wsauth.errors import PermissionDenied, Refused
from wsauth.server.plane import Plane, authenticated

__all__ = ["permitted"]

ADMIN = "wsauth:admin"


def permitted(plane: Plane, permission: str = ADMIN) -> Callable[[Request], Identity]:
    """Return the dependency of a route: it returns who asks, if they hold the permission or `wsauth:admin`."""

    def check(request: Request) -> Identity:
        if request.headers.get("origin") is not None:
            raise Refused("origin_denied", "the admin API is for no page", mend="")
        if not request.headers.get("authorization", "").lower().startswith("bearer "):
            raise Refused("credentials_missing", "the admin API takes Authorization: Bearer only")
        identity = authenticated(request).require()
        if identity.issuer != OWN_ISSUER or not {permission, ADMIN} & set(identity.grants):
            raise PermissionDenied(permission)
        plane.check_granting()
        return identity

    return check
