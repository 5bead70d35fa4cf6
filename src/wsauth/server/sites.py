"""Which sites may send requests that change something, before any of them is looked at (ASVS 3.5.1 to 3.5.3).

A browser says where a request comes from: by `Origin`, and by Fetch Metadata where that is missing. A request with
a body is JSON: no form and no simple request of another site can send that without asking first.
"""

from collections.abc import Collection

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from wsauth.core.origins import Origins
from wsauth.errors import Refused
from wsauth.server.api.form import FORM
from wsauth.server.problems import Problems, Unfit

__all__ = ["Sites"]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Sites:
    """Stand in front of an application.

    Args:
        app: answers what may pass.
        origins: the pages that may send.
        problems: answers what may not.
        forms: the paths of the requests that may also be forms.
    """

    def __init__(self, app: ASGIApp, origins: Origins, problems: Problems, forms: Collection[str] = ()) -> None:
        self._app = app
        self._origins = origins
        self._problems = problems
        self._forms = forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            request = Request(scope)
            try:
                self._check(request)
            except Refused as error:
                response: Response = self._problems.answer(request, error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, request: Request) -> None:
        headers = request.headers
        origins = headers.getlist("origin")
        if len(origins) > 1:
            raise Unfit(400, "the header Origin came more than once")
        if origins and not self._origins.allow(origins[0]):
            raise Refused("origin_denied", "a page that is not allowed sent a change", mend="server.origins")
        if not origins and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused("csrf_failed", "Sec-Fetch-Site says that another site sent a change")
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            return
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == FORM and request.url.path in self._forms:
            return
        if kind != "application/json":
            raise Unfit(415, "the body is JSON: send Content-Type: application/json")
