"""Log in, refresh, log out, and change a password."""

from typing import Annotated, Any
from unicodedata import normalize

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from wsauth.core.cookies import device_in
from wsauth.core.credentials import Credentials
from wsauth.core.identity import OWN_ISSUER, Identity, is_ours
from wsauth.core.sessions import SessionKind
from wsauth.core.sign_in import is_good_return
from wsauth.errors import Refused
from wsauth.server.answers import LoggedIn, LoggedOut, SignedIn
from wsauth.server.api.form import form_route
from wsauth.server.logins import Logins
from wsauth.server.plane import Body, Plane, somebody_changing
from wsauth.server.problems import Unfit

__all__ = ["login_routes"]

_LONGEST = 4096
"""Characters of a username or a password that are looked at."""


class Password(Body):
    """Be a login by password."""

    username: Annotated[str, Field(max_length=_LONGEST)]
    password: Annotated[str, Field(max_length=_LONGEST)]
    cookie: bool = False


class RefreshToken(Body):
    """Be a refresh by token; with the cookie there is no body."""

    refresh_token: Annotated[str, Field(max_length=_LONGEST)]


class LogOut(Body):
    """Be a log-out of somebody who wants to log out of the provider too (OpenID Connect RP-Initiated Logout 1.0)."""

    return_to: Annotated[str, Field(max_length=_LONGEST)]


class NewPassword(Body):
    """Be a change of the caller's own password."""

    current_password: Annotated[str, Field(max_length=_LONGEST)]
    new_password: Annotated[str, Field(max_length=_LONGEST)]


def login_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/auth", tags=["sessions"], route_class=form_route("username", "password"))
    logins = _Logins(plane)

    @router.post("/login", response_model=LoggedIn | SignedIn)
    async def login(request: Request, response: Response, body: Password) -> dict[str, Any]:
        """Log in with a username and a password: tokens, or with `cookie` a session cookie."""
        return await logins.login(request, response, body)

    @router.post("/refresh", response_model=LoggedIn | SignedIn)
    async def refresh(request: Request, response: Response, body: RefreshToken | None = None) -> dict[str, Any]:
        """Go on with a session: by its refresh token, which is used up, or by its cookie."""
        return await logins.refresh(request, response, body)

    @router.post("/logout", status_code=204, response_model=None, responses={200: {"model": LoggedOut}})
    async def logout(
        response: Response, me: Annotated[Identity, Depends(somebody_changing)], body: LogOut | None = None
    ) -> Any:
        """End the session; when this answers, its sockets are closed. With `return_to`: say where to log out there."""
        return await logins.logout(response, me, body)

    @router.put("/password", status_code=204)
    async def password(
        response: Response, body: NewPassword, me: Annotated[Identity, Depends(somebody_changing)]
    ) -> None:
        """Change the password; every other session ends."""
        await logins.change_password(response, body, me)

    return router


class _Logins:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._sessions = plane.local.sessions
        self._answers = Logins(plane)

    async def login(self, request: Request, response: Response, body: Password) -> dict[str, Any]:
        plane = self._plane
        plane.check_granting()
        address = plane.check_address(request)
        kind: SessionKind = "cookie" if body.cookie else "tokens"
        if body.cookie:
            self._answers.check_cookie()
        known = await self._sessions.login(
            body.username,
            body.password,
            kind,
            address=address,
            agent=request.headers.get("user-agent", ""),
            device=device_in("; ".join(request.headers.getlist("cookie"))),
        )
        if body.cookie:
            await self._answers.end_before(request.headers)
            signed_in = self._answers.with_cookie(response, known)
            plane.set_device(response.headers, plane.local.lockout.device_cookie(known.user.username))
            return signed_in
        return self._answers.with_tokens(known)

    async def refresh(self, request: Request, response: Response, body: RefreshToken | None) -> dict[str, Any]:
        self._plane.check_granting()
        if body is not None:
            address = self._plane.check_address(request, known=True)
            try:
                return self._answers.with_tokens(await self._sessions.refresh(body.refresh_token, address=address))
            except Refused as error:
                presented = Credentials("token", body.refresh_token, source="message")
                raise await self._plane.guard.throttling.failed_late(address, presented, error) from None
        me = await somebody_changing(request)
        if me.claims.get("kind") != "cookie" or me.session_id is None:
            raise Unfit(400, 'write {"refresh_token": "…"}, or come with the session cookie')
        return self._answers.with_cookie(response, await self._sessions.touch(me.session_id, me.claims["generation"]))

    async def logout(self, response: Response, me: Identity, body: LogOut | None) -> Any:
        url = await self._logout_url(me, body.return_to) if body is not None else None
        if me.session_id is not None and is_ours(me):
            await self._sessions.end(me.session_id, subject=me.subject, issuer=me.issuer)
        elif me.token_id is not None:
            await self._plane.guard.revoke(token_id=me.token_id, issuer=me.issuer)
        else:
            raise Refused("conflict", "an API key has no session to end", mend="wsauth users set-password NAME")
        if me.claims.get("kind") == "cookie":
            self._plane.set_cookie(response.headers, "", 0)
        if body is None:
            response.status_code = 204
            return response
        response.status_code = 200
        return {"logout_url": url}

    async def _logout_url(self, me: Identity, return_to: str) -> str | None:
        """Return where the caller may log out of the provider at which the session began, too."""
        if not is_good_return(return_to, self._plane.guard.origins):
            raise Unfit(400, "return_to: a path of ours, or a URL on an allowed origin")
        known = await self._sessions.find(me.session_id or "") if is_ours(me) else None
        provider = self._plane.local.providers.get(known.session.provider) if known is not None else None
        try:
            return None if provider is None else await provider.logout_url(self._plane.absolute(return_to))
        except Refused:  # the session ends here in any case
            return None

    async def change_password(self, response: Response, body: NewPassword, me: Identity) -> None:
        self._plane.check_granting()
        users = self._plane.local.users
        user = await users.find(me.subject) if me.issuer == OWN_ISSUER else None
        if user is None or user.service or me.session_id is None:
            raise Refused("conflict", "only a session of a user with a password can change it")
        if normalize("NFKC", body.new_password) == normalize("NFKC", body.current_password):
            raise Unfit(400, "new_password: it is the current one; choose another")
        carried = await self._sessions.change_password(
            user,
            body.current_password,
            lambda: users.hash_password(body.new_password, user.username),
            me.session_id,
        )
        if carried.session.kind == "cookie":
            self._answers.set_cookie(response, carried.session)
