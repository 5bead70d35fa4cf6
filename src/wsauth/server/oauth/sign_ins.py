"""`/auth/oauth/{name}/…`: sign in with a provider, by the authorization code flow with PKCE (RFC 6749, RFC 9700)."""

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from wsauth.core.cookies import cut_cookies, sign_ins_of
from wsauth.core.credentials import Credentials
from wsauth.core.sign_in import Transaction, challenge_of, check_answer, is_challenge, is_good_return, with_query
from wsauth.core.urls import is_loopback, is_sound
from wsauth.errors import Refused
from wsauth.interfaces.provider import Provider
from wsauth.server.answers import LoggedIn
from wsauth.server.logins import Logins
from wsauth.server.oauth.pages import confirm, style
from wsauth.server.plane import Body, Plane
from wsauth.server.problems import Unfit

__all__ = ["sign_in_routes"]

_HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_LONGEST: Final = 4096
_LONGEST_STEP_UP: Final = 256
"""Characters."""
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class Code(Body):
    """Be what a page fetches its tokens with."""

    code: Annotated[str, Field(max_length=_LONGEST)]
    code_verifier: Annotated[str, Field(min_length=43, max_length=128, pattern=r"^[A-Za-z0-9._~-]+$")]


def sign_in_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/auth/oauth", tags=["providers"])
    sign_ins = _SignIns(plane)

    @router.get("/{name}/start", status_code=303, response_class=RedirectResponse)
    async def start(name: str, request: Request) -> Response:
        """Send the browser to the provider.

        `return_to` is where it goes in the end: a path of ours, or a URL on an allowed origin. The session is kept by a
        cookie then. With a `code_challenge` (S256) `return_to` gets a `code`, for which the page fetches tokens.
        `max_age` and `acr_values` ask for a recent or strong login.
        """
        return await sign_ins.start(name, request)

    @router.get("/{name}/callback", status_code=303, response_class=RedirectResponse)
    async def callback(name: str, request: Request) -> Response:
        """Take the browser back from the provider."""
        return await sign_ins.callback(name, request)

    @router.post("/{name}/token", response_model=LoggedIn)
    async def token(name: str, request: Request, body: Code) -> dict[str, Any]:
        """Return the tokens of a sign-in to the page that began it with a `code_challenge`."""
        return await sign_ins.tokens(name, request, body)

    @router.get("/style.css", include_in_schema=False)
    async def look() -> Response:
        """Return the style of the page that says why signing in failed."""
        return style()

    return router


class _SignIns:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._transactions = plane.local.transactions
        self._answers = Logins(plane)

    async def start(self, name: str, request: Request) -> Response:
        plane, provider = self._plane, self._provider(name)
        plane.check_granting()
        plane.check_address(request)
        query = _query(request)
        request.state.again = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if _is_unasked(request):
            return confirm(request.state.again)
        if self._is_elsewhere(request):
            return _redirect(plane.absolute(request.state.again))
        return_to, challenge = query.get("return_to", "/"), query.get("code_challenge", "")
        if not is_good_return(return_to, plane.guard.origins):
            raise Unfit(400, "return_to: a path of ours, or a URL on an allowed origin, of at most 512 characters")
        if challenge and (not is_challenge(challenge) or query.get("code_challenge_method") != "S256"):
            raise Unfit(400, "code_challenge: 43 characters, with code_challenge_method=S256 (RFC 7636)")
        if not challenge:
            self._answers.check_cookie()
        step_up = {name: query[name] for name in ("max_age", "acr_values") if query.get(name)}
        if not _SECONDS.fullmatch(step_up.get("max_age", "0")) or len("".join(step_up.values())) > _LONGEST_STEP_UP:
            raise Unfit(400, "max_age: whole seconds; acr_values: names between blanks (OpenID Connect Core 3.1.2.1)")
        begun, cookie = self._transactions.begin(name, return_to, challenge, self._cookie(request))
        url = await provider.authorization_url(
            redirect_uri=self._callback(name),
            state=begun.state,
            nonce=self._transactions.nonce(begun.state),
            challenge=challenge_of(self._transactions.verifier(begun.state)),
            step_up=step_up,
        )
        response = _redirect(url)
        plane.set_sign_ins(response.headers, cookie)
        return response

    async def callback(self, name: str, request: Request) -> Response:
        plane, provider = self._plane, self._provider(name)
        plane.check_granting()
        address, query = plane.check_address(request), _query(request)
        # Whatever is told from here on may be about this login.
        seen = await plane.guard.backend.feed.newest()
        try:
            transaction, cookie = await self._transactions.end(query.get("state", ""), name, self._cookie(request))
            request.state.again = self._again(name, transaction)
            issuer, must_name = await provider.issuer_of_answers()
            code = check_answer(query, issuer, must_name=must_name)
        except Refused as error:
            # Not counted: nobody guesses a state, and any page can send its visitors here.
            raise Unfit(400, error.reason) if error.code == "token_invalid" else error.as_value() from None
        try:
            said = await provider.redeem(
                code,
                redirect_uri=self._callback(name),
                nonce=self._transactions.nonce(transaction.state),
                verifier=self._transactions.verifier(transaction.state),
            )
        except Refused as error:
            told = await plane.guard.throttling.failed_late(
                address, Credentials("token", code, source="message"), error
            )
            raise Unfit(400, error.reason) if told.code == "token_invalid" else told from None
        known = await plane.local.sessions.sign_in(
            said,
            "tokens" if transaction.challenge else "cookie",
            provider,
            seen=seen,
            address=address,
            agent=request.headers.get("user-agent", ""),
        )
        if transaction.challenge:
            one_time = self._transactions.code(known.session.id, transaction.challenge)
            response = _redirect(with_query(transaction.return_to, code=one_time))
        else:
            await self._answers.end_before(request.headers)
            response = _redirect(transaction.return_to)
            self._answers.set_cookie(response, known.session)
        plane.set_sign_ins(response.headers, cookie)
        return response

    async def tokens(self, name: str, request: Request, body: Code) -> dict[str, Any]:
        plane = self._plane
        self._provider(name)
        plane.check_granting()
        address = plane.check_address(request)
        try:
            session_id = await self._transactions.session_of(body.code, challenge_of(body.code_verifier))
        except Refused as error:
            presented = Credentials("token", body.code, source="message")
            raise await plane.guard.throttling.failed_late(address, presented, error) from None
        known = await plane.local.sessions.find(session_id)
        if known is None or known.session.provider != name:
            raise Refused("session_revoked", "the session of the code has ended")
        return self._answers.with_tokens(known)

    def _again(self, name: str, transaction: Transaction) -> str:
        """Return where somebody who came back in vain begins again: a page that fetches tokens has to do it itself."""
        if transaction.challenge:
            return transaction.return_to
        return with_query(f"/auth/oauth/{name}/start", return_to=transaction.return_to)

    def _is_elsewhere(self, request: Request) -> bool:
        """Tell whether a browser calls this machine by another name than the callback will: it would have no cookie."""
        host = f"http://{request.headers.get('host', '')}/"
        if not is_sound(host):
            return False
        here, public = urlsplit(host), urlsplit(self._plane.absolute("/"))
        # A proxy on this machine, which may write its own Host, has another port.
        same = here.port == public.port and here.hostname != public.hostname
        return same and is_loopback(here.geturl()) and is_loopback(public.geturl())

    def _provider(self, name: str) -> Provider:
        provider = self._plane.local.providers.get(name)
        if provider is None:
            raise Refused("not_found", "nobody signs in here with a provider of this name")
        return provider

    def _callback(self, name: str) -> str:
        return self._plane.absolute(f"/auth/oauth/{name}/callback")

    def _cookie(self, request: Request) -> str:
        """Return the cookie of the ways that this browser is on; none where several came, of which one is a lie."""
        name = sign_ins_of(self._plane.local.verifier.cookie)
        found = [value for header in request.headers.getlist("cookie") for _, value in cut_cookies(header, [name])[0]]
        return found[0] if len(found) == 1 else ""


def _is_unasked(request: Request) -> bool:
    """Tell whether another site has sent the browser here by itself: nobody gets a session unasked (ASVS 7.6.2).

    Raises:
        Refused: `csrf_failed`: it is no window that somebody looks at.
    """
    headers = request.headers
    if headers.get("sec-fetch-dest", "document") != "document":
        raise Refused("csrf_failed", "Sec-Fetch-Dest says that signing in was begun by a part of a page")
    return headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-user") != "?1"


def _query(request: Request) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    if len(pairs) != len(dict(pairs)):
        raise Unfit(400, "a parameter came more than once")
    return dict(pairs)


def _redirect(url: str) -> RedirectResponse:
    """Send a browser on by GET, whatever it came by (RFC 9700 section 4.12)."""
    response = RedirectResponse(url, 303, headers=_HEADERS)
    response.headers["location"] = url
    return response
