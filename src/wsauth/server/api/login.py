"""Log in, refresh, log out, and change a password."""

from typing import Annotated, Any
from unicodedata import normalize

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.datastructures import Headers

from wsauth.core.cookies import cut_cookies, device_in
from wsauth.core.credentials import Credentials
from wsauth.core.identity import OWN_ISSUER, Identity, is_ours
from wsauth.core.sessions import Session, SessionKind
from wsauth.errors import Refused
from wsauth.interfaces.sessions import Known
from wsauth.server.answers import LoggedIn, SignedIn
from wsauth.server.api.form import form_route
from wsauth.server.plane import Body, Plane, somebody_changing
from wsauth.server.problems import Unfit
from wsauth.services.sessions import identity_of

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

    @router.post("/logout", status_code=204)
    async def logout(request: Request, response: Response, me: Annotated[Identity, Depends(somebody_changing)]) -> None:
        """End the session; when this answers, its sockets are closed."""
        await logins.logout(response, me)

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

    async def login(self, request: Request, response: Response, body: Password) -> dict[str, Any]:
        plane = self._plane
        plane.check_granting()
        address = plane.check_address(request)
        kind: SessionKind = "cookie" if body.cookie else "tokens"
        if body.cookie and not plane.local.secure and not plane.on_loopback:
            raise Unfit(400, "a cookie needs https: use tokens, or serve over TLS")
        known = await self._sessions.login(
            body.username,
            body.password,
            kind,
            address=address,
            agent=request.headers.get("user-agent", ""),
            device=device_in("; ".join(request.headers.getlist("cookie"))),
        )
        if body.cookie:
            await self._end_before(request.headers)
            signed_in = self._signed_in(response, known)
            plane.set_device(response.headers, plane.local.lockout.device_cookie(known.user.username))
            return signed_in
        return self._logged_in(known)

    async def _end_before(self, headers: Headers) -> None:
        """End the session whose cookie came along: after a login nobody else may know the way in (ASVS 7.2.4)."""
        name = self._plane.local.verifier.cookie
        for header in headers.getlist("cookie"):
            for _, value in cut_cookies(header, [name])[0]:
                try:
                    before = await self._sessions.of_cookie(value)
                except Refused:
                    continue
                if before is not None:
                    await self._sessions.end(before.session.id)

    async def refresh(self, request: Request, response: Response, body: RefreshToken | None) -> dict[str, Any]:
        self._plane.check_granting()
        if body is not None:
            address = self._plane.check_address(request, known=True)
            try:
                return self._logged_in(await self._sessions.refresh(body.refresh_token, address=address))
            except Refused as error:
                presented = Credentials("token", body.refresh_token, source="message")
                raise await self._plane.guard.throttling.failed_late(address, presented, error) from None
        me = await somebody_changing(request)
        if me.claims.get("kind") != "cookie" or me.session_id is None:
            raise Unfit(400, 'write {"refresh_token": "…"}, or come with the session cookie')
        return self._signed_in(response, await self._sessions.touch(me.session_id, me.claims["generation"]))

    async def logout(self, response: Response, me: Identity) -> None:
        if me.session_id is not None and is_ours(me):
            await self._sessions.end(me.session_id, subject=me.subject, issuer=me.issuer)
        elif me.token_id is not None:
            await self._plane.guard.revoke(token_id=me.token_id, issuer=me.issuer)
        else:
            raise Refused("conflict", "an API key has no session to end", mend="wsauth users set-password NAME")
        if me.claims.get("kind") == "cookie":
            self._plane.set_cookie(response.headers, "", 0)

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
            self._set_cookie(response, carried.session)

    # Answers.

    def _logged_in(self, known: Known) -> dict[str, Any]:
        local, now = self._plane.local, self._plane.now()
        until = local.limits.stands_until(known.session)
        token, expires_at = local.tokens.issue(known.user, known.session, until)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": round(expires_at - now),
            "refresh_token": self._sessions.refresh_token(known.session),
            **self._described(known),
        }

    def _signed_in(self, response: Response, known: Known) -> dict[str, Any]:
        self._set_cookie(response, known.session)
        limits, now = self._plane.local.limits, self._plane.now()
        lease = min(limits.access, limits.stands_until(known.session) - now)
        csrf_token = self._sessions.csrf_token(known.session.id)
        return {"csrf_token": csrf_token, "expires_in": round(lease), **self._described(known)}

    def _set_cookie(self, response: Response, session: Session) -> None:
        rest = self._plane.local.limits.ends_at(session) - self._plane.now()
        self._plane.set_cookie(response.headers, self._sessions.cookie(session), rest)

    def _described(self, known: Known) -> dict[str, Any]:
        identity = identity_of(known, self._plane.local.limits)
        return {
            "session_id": known.session.id,
            "issuer": identity.issuer,
            "subject": identity.subject,
            "roles": identity.roles,
            "permissions": self._plane.guard.roles.resolve(identity).names,
        }
