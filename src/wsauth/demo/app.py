"""The demo's application: a page, a login, a chat, and an administrator's two orders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from wsauth import Connection, Guard, Identity, JWTVerifier
from wsauth.browser import SCRIPT
from wsauth.demo.accounts import AUDIENCE, ISSUER, ROLES, Accounts
from wsauth.demo.room import Room
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.integrations.fastapi import connection, identity

__all__ = ["demo"]

_PAGE: Final = Path(__file__).with_name("page")
_FILES: Final = {
    "/": (_PAGE / "index.html", "text/html; charset=utf-8"),
    "/demo.js": (_PAGE / "demo.js", "text/javascript; charset=utf-8"),
    "/demo.css": (_PAGE / "demo.css", "text/css; charset=utf-8"),
    "/icon.svg": (_PAGE / "icon.svg", "image/svg+xml"),
    "/wsauth.js": (SCRIPT, "text/javascript; charset=utf-8"),
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_BACK_IN: Final = 5.0
"""Seconds after which somebody who was disconnected may come back."""


class _Password(BaseModel):
    username: Annotated[str, Field(max_length=64)]
    password: Annotated[str, Field(max_length=256)]


class _Renewal(BaseModel):
    renewal: Annotated[str, Field(max_length=64)]


def demo(accounts: Accounts, origins: Sequence[str]) -> FastAPI:
    """Make the application.

    Args:
        accounts: who can sign in.
        origins: where its page is served.
    """
    app = FastAPI(openapi_url=None)
    guard = Guard(
        verifiers=[JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=accounts.secret, roles="*", leeway=0)],
        origins=origins,
        roles={"member": ["chat:send"], "admin": ["chat:send", "people:*"]},
    )
    app.add_middleware(WebSocketAuthMiddleware, guard=guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    app.middleware("http")(_with_headers)
    _serve_page(app)
    _serve_logins(app, accounts)
    _serve_orders(app, guard, accounts)
    room = Room()

    @app.websocket("/ws")
    async def talk(socket: WebSocket, me: Annotated[Connection, connection("chat:send")]) -> None:
        await socket.accept()
        await room.stay(socket, me)

    return app


async def _with_headers(request: Request, answer: Any) -> Response:
    response: Response = await answer(request)
    response.headers.update(_HEADERS)
    return response


def _serve_page(app: FastAPI) -> None:
    for path, (file, media_type) in _FILES.items():
        response = FileResponse(file, media_type=media_type)

        async def page(_: Request, response: FileResponse = response) -> FileResponse:
            return response

        app.add_route(path, page)


def _serve_logins(app: FastAPI, accounts: Accounts) -> None:
    @app.post("/login")
    def login(form: _Password) -> dict[str, Any]:
        found = accounts.login(form.username, form.password)
        if found is None:
            raise HTTPException(401, "The name or the password is wrong")
        return found._asdict()

    @app.post("/token")
    def token(form: _Renewal) -> dict[str, str]:
        fresh = accounts.renew(form.renewal)
        if fresh is None:
            raise HTTPException(401, "This login has been revoked")
        return {"access_token": fresh}


def _serve_orders(app: FastAPI, guard: Guard, accounts: Accounts) -> None:
    @app.post("/people/{subject}/disconnect")
    async def disconnect(subject: str, _: Annotated[Identity, identity("people:disconnect")]) -> dict[str, int]:
        _check_known(subject)
        report = await guard.disconnect(subject=subject, issuer=ISSUER, retry_after=_BACK_IN)
        return {"closed": report.closed}

    @app.post("/people/{subject}/revoke")
    async def revoke(subject: str, _: Annotated[Identity, identity("people:revoke")]) -> dict[str, int]:
        _check_known(subject)
        accounts.revoke(subject)
        report = await guard.revoke(subject=subject, issuer=ISSUER)
        return {"closed": report.closed}


def _check_known(subject: str) -> None:
    if subject not in ROLES:
        raise HTTPException(404, "There is nobody of that name")
