"""Every no of the HTTP API: RFC 9457, with the code, action and id of the refusal table; why is in the log."""

import logging
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from wsauth.core import events
from wsauth.core.refusals import Refusal
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.clock import Clock
from wsauth.server.oauth.pages import failed, is_for_people
from wsauth.services.connections.connections import new_id
from wsauth.services.events import Bus
from wsauth.services.throttling import Throttling
from wsauth.services.users import PasswordRejected

__all__ = ["NO_STORE", "Problems", "Unfit", "no_store"]

_log = logging.getLogger("wsauth")

NO_STORE: Final = {"Cache-Control": "no-store"}


class Unfit(Refused):
    """Say that a request is not one that can be answered.

    Args:
        status: 400, 405, 413, 415 …
        detail: for whoever wrote the request; it repeats nothing of it.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__("request_invalid", detail)
        self.status = status
        self.detail = detail


class Problems:
    """Answer refusals.

    Args:
        bus: takes an event for each.
        clock: tells the time.
        throttling: says what may be wrong where a limit is reached.
    """

    def __init__(self, bus: Bus, clock: Clock, throttling: Throttling) -> None:
        self._bus = bus
        self._clock = clock
        self._throttling = throttling

    def install(self, app: FastAPI) -> None:
        """Answer every error of an application."""
        app.add_exception_handler(Refused, self._refused)
        app.add_exception_handler(RequestValidationError, self._malformed)
        app.add_exception_handler(HTTPException, self._http)
        app.add_exception_handler(ConfigurationError, self._unusable)
        app.add_exception_handler(Exception, self._failed)

    async def _refused(self, request: Request, error: Exception) -> Response:
        return self.answer(request, error if isinstance(error, Refused) else Refused("unavailable"))

    async def _malformed(self, request: Request, error: Exception) -> Response:
        """Name the fields, and nothing that stood in them."""
        found = error.errors() if isinstance(error, RequestValidationError) else []
        # In parentheses: "cookie: …" would be taken for a header, and redacted.
        named = "; ".join(f"{'.'.join(str(part) for part in each['loc'][1:])} ({each['msg']})" for each in found[:5])
        return self.answer(request, Unfit(400, named or "the request is not well formed"))

    async def _unusable(self, request: Request, error: Exception) -> Response:
        return self.answer(request, Unfit(400, str(error)))

    async def _http(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 404:
            return self.answer(request, Refused("not_found", "there is nothing at this path"))
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return self.answer(request, Unfit(status, f"the request was answered {status}"), headers)

    async def _failed(self, request: Request, error: Exception) -> Response:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return self.answer(request, Refused("unavailable", type(error).__name__, retry_after=1))

    def answer(self, request: Request, error: Refused, headers: dict[str, str] | None = None) -> Response:
        """Answer one refusal, and tell of it."""
        refusal = Refusal.of(error, new_id())
        if isinstance(error, Unfit):
            refusal = msgspec.structs.replace(refusal, status=error.status)
        body: dict[str, Any] = refusal.problem()
        if isinstance(error, Unfit):
            body["detail"] = error.detail
        if isinstance(error, PasswordRejected):
            body["reasons"] = error.reasons
        self._tell(request, refusal)
        sent = {name.decode(): value.decode() for name, value in refusal.headers()} | (headers or {})
        if is_for_people(request):
            return failed(request, body, refusal.http_status, sent)
        return Response(msgspec.json.encode(body), refusal.http_status, sent)

    def _tell(self, request: Request, refusal: Refusal) -> None:
        address = request.client.host if request.client else ""
        refused = events.RequestRefused(
            at=self._clock.now(),
            code=refusal.code,
            id=refusal.id,
            reason=refusal.reason,
            mend=refusal.mend,
            method=request.method,
            path=request.url.path,
            address=address,
        )
        self._bus.publish(refused)
        self._throttling.warn_of_proxy(refusal.mend, address, request.scope["headers"])


async def no_store(response: Response) -> None:
    """Let nobody keep the answer (ASVS 14.3.2)."""
    response.headers.update(NO_STORE)
