"""Forms, read as the JSON that they could have been: the login form that FastAPI's docs page sends (RFC 6749 section
4.3.2), and what a provider tells.

`Sites` lets them through on their own paths only, the login's only where `login.form` says so. That gives tokens, never
a cookie: a form is what another site could send.
"""

from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from wsauth.server.problems import Unfit

__all__ = ["FORM", "form_route"]

FORM: Final = "application/x-www-form-urlencoded"
_MOST: Final = 16
"""Fields that a form may have; `grant_type`, `scope` and the client's own are passed over."""


def form_route(*taken: str) -> type[APIRoute]:
    """Return a class of routes that take these fields of a form as well as JSON."""

    class FormRoute(APIRoute):
        """Take a form as well as JSON."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """Return what answers a request."""
            answer = super().get_route_handler()

            async def read(request: Request) -> Response:
                kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
                return await answer(await _as_json(request, taken) if kind == FORM else request)

            return read

    return FormRoute


async def _as_json(request: Request, names: Collection[str]) -> Request:
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST
        )
    except ValueError:
        raise Unfit(400, "the form cannot be read") from None
    taken = [(name, value) for name, value in pairs if name in names]
    if len(taken) != len(dict(taken)):
        raise Unfit(400, "a field of the form came more than once")
    content = msgspec.json.encode(dict(taken))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    kept = [header for header in request.scope["headers"] if header[0] not in (b"content-type", b"content-length")]
    headers = [*kept, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    return Request({**request.scope, "headers": headers}, receive)
