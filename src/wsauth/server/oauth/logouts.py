"""`POST /auth/oauth/{name}/backchannel-logout`: a provider tells that somebody has logged out there."""

from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import Field

from wsauth.core.credentials import Credentials
from wsauth.core.tokens.logout import Logout
from wsauth.errors import Refused
from wsauth.server.api.form import form_route
from wsauth.server.plane import Body, Plane
from wsauth.server.problems import Unfit
from wsauth.settings import Settings
from wsauth.verifiers.jwt import JWTVerifier

__all__ = ["logout_paths", "logout_routes"]

_REMEMBERED: Final = 10_000


class LogoutToken(Body):
    """Be what a provider sends (OpenID Connect Back-Channel Logout 1.0, section 2.5)."""

    logout_token: Annotated[str, Field(max_length=16_384)]


def logout_paths(settings: Settings) -> frozenset[str]:
    """Return the paths at which providers may tell of log-outs."""
    return frozenset(
        f"/auth/oauth/{issuer.named}/backchannel-logout"
        for issuer in settings.issuers
        if issuer.kind == "jwt" and issuer.client_id and issuer.takes_tokens
    )


def logout_routes(plane: Plane) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/auth/oauth", tags=["providers"], route_class=form_route("logout_token"))
    logouts = _Logouts(plane)

    @router.post("/{name}/backchannel-logout", status_code=200)
    async def backchannel_logout(name: str, request: Request, body: LogoutToken) -> None:
        """End the session that a logout token names, or all of its subject, and close their sockets."""
        await logouts.take(name, body.logout_token, plane.check_address(request))

    return router


class _Logouts:
    """Take logout tokens, each once.

    A token that comes again in another process ends nothing that it did not end before: only what was issued up to its
    own time dies.
    """

    def __init__(self, plane: Plane) -> None:
        self._guard = plane.guard
        self._own = plane.local.sessions
        clients = {each.named: each.client_id for each in plane.settings.issuers if each.kind == "jwt"}
        self._verifiers = {
            each.name: (each, clients[each.name])
            for each in plane.guard.verifiers
            if isinstance(each, JWTVerifier) and clients.get(each.name)
        }
        self._seen: dict[tuple[str, str], None] = {}

    async def take(self, name: str, token: str, address: str) -> None:
        if name not in self._verifiers:
            raise Refused("not_found", "no issuer of this name tells of log-outs")
        verifier, client_id = self._verifiers[name]
        try:
            logout = await verifier.read_logout(token, client_id)
        except Refused as error:
            presented = Credentials("token", token, source="message")
            told = await self._guard.throttling.failed_late(address, presented, error)
            raise Unfit(400, error.reason) if told.code == "token_invalid" else told from None
        if (name, logout.token_id) in self._seen:
            raise Unfit(400, "the logout token has come before")
        await self._end(verifier.issuer or "", logout)
        # Only now: a provider that was told to come again brings the same token.
        self._seen[name, logout.token_id] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    async def _end(self, issuer: str, logout: Logout) -> None:
        if logout.session_id is not None and await self._own.find(logout.session_id) is not None:
            raise Unfit(400, "the logout token names a session that is none of its issuer's")
        await self._guard.log_out(issuer, logout.subject, logout.session_id, logout.issued_at)
