"""The OpenAPI document: one, of the public and the admin API together."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from wsauth import __version__
from wsauth.server.admin.routes import admin_routes
from wsauth.server.answers import Problem
from wsauth.server.api.known import known_routes
from wsauth.server.api.login import login_routes
from wsauth.server.api.sessions import session_routes
from wsauth.server.api.tickets import ticket_routes
from wsauth.server.api.verify import verify_routes
from wsauth.server.oauth.logouts import logout_routes
from wsauth.server.oauth.sign_ins import sign_in_routes
from wsauth.server.plane import Plane

__all__ = ["PROBLEMS", "PUBLIC", "document", "public_document"]

Document = dict[str, Any]

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problem, "description": "Refused"},
    503: {"model": Problem, "description": "Not available at the moment, or stopping"},
}
"""What every operation may answer beside its own answers."""
PUBLIC: Final = (
    login_routes,
    session_routes,
    ticket_routes,
    verify_routes,
    known_routes,
    logout_routes,
    sign_in_routes,
)
_PROBLEM: Final = "#/components/schemas/Problem"
_PROBLEM_TYPE: Final = "application/problem+json"
_ADMIN: Final = "/admin/"
_OPEN: Final = frozenset(
    {"/auth/login", "/.well-known/jwks.json", "/.well-known/websocket-auth", "/healthz", "/readyz"}
)
_REFRESH: Final = "/auth/refresh"
_READY: Final = "/readyz"
_NOT_READY: Final[Document] = {
    "description": "`starting`, `feed`, `store` or `draining`",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
_SAFE: Final = frozenset({"get", "head", "options"})


def document(plane: Plane) -> Document:
    """Return the document of everything."""
    return _document(plane, (*PUBLIC, admin_routes))


def public_document(plane: Plane) -> Document:
    """Return the document of the public API."""
    return _document(plane, PUBLIC)


def _document(plane: Plane, parts: tuple[Any, ...]) -> Document:
    app = FastAPI(title="wsauth", version=__version__, responses=PROBLEMS)
    for routes in parts:
        app.include_router(routes(plane))
    drawn: Document = app.openapi()
    drawn["components"]["securitySchemes"] = _schemes(plane)
    for path, method, operation in _operations(drawn):
        operation["security"] = _security(path, method)
        for response in operation["responses"].values():
            _retype(response)
    drawn["paths"][_READY]["get"]["responses"]["503"] = _NOT_READY
    return drawn


def _operations(drawn: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in drawn["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _schemes(plane: Plane) -> Document:
    cookie = plane.local.verifier.cookie
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An access token, or the API key of a service."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": cookie, "description": "The session cookie."},
        "csrf": {
            "type": "apiKey",
            "in": "header",
            "name": "X-CSRF-Token",
            "description": "Beside the cookie, for what changes something; an allowed Origin is needed too.",
        },
    }


def _security(path: str, method: str) -> list[Document]:
    if path in _OPEN:
        return []
    bearer: Document = {"bearer": []}
    cookie: Document = {"cookie": []} if method in _SAFE else {"cookie": [], "csrf": []}
    if path.startswith(_ADMIN):
        return [bearer]
    return [{}, cookie] if path == _REFRESH else [bearer, cookie]


def _retype(response: Document) -> None:
    """Say of a problem that it is one (RFC 9457 section 3)."""
    for kind, content in list(response.get("content", {}).items()):
        if content.get("schema", {}).get("$ref") == _PROBLEM:
            response["content"] = {_PROBLEM_TYPE: response["content"].pop(kind)}
