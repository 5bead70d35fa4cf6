"""The login form that FastAPI's docs page sends (RFC 6749 section 4.3.2), read as the JSON that it could have been.

`Sites` lets a form through only where `login.form` says so. It gives tokens, never a cookie: a form is what another
site could send.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from wsauth.server.problems import Unfit

__all__ = ["FORM", "FormRoute"]

FORM: Final = "application/x-www-form-urlencoded"
_TAKEN: Final = ("username", "password")
_MOST: Final = 16
"""Fields that a form may have; `grant_type`, `scope` and the client's own are passed over."""


class FormRoute(APIRoute):
    """Be a route that takes a form as well as JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def read(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            return await answer(await _as_json(request) if kind == FORM else request)

        return read


async def _as_json(request: Request) -> Request:
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST
        )
    except ValueError:
        raise Unfit(400, "the form cannot be read") from None
    taken = [(name, value) for name, value in pairs if name in _TAKEN]
    if len(taken) != len(dict(taken)):
        raise Unfit(400, "a field of the form came more than once")
    content = msgspec.json.encode(dict(taken))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    kept = [header for header in request.scope["headers"] if header[0] not in (b"content-type", b"content-length")]
    headers = [*kept, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    return Request({**request.scope, "headers": headers}, receive)
