"""Which sites may send requests that change something, and what their bodies may be."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.attacks.wire import request, wire
from tests.wsauth_server import serving
from tests.wsauth_sockets import new_password, port_of, said
from wsauth.core.events import RequestRefused
from wsauth.core.origins import Origins
from wsauth.server.problems import Problems
from wsauth.server.sites import Sites
from wsauth.services.events import Bus
from wsauth.services.throttling import DEFAULT, Throttling
from wsauth.testing import FakeClock

OURS: Final = "https://app.example.com"
EVIL: Final = "https://evil.example"
CHANGES: Final = ("POST", "PUT", "PATCH", "DELETE", "ODD")
JSON: Final = "Content-Type: application/json"
FORM: Final = "application/x-www-form-urlencoded"


class Answered:
    """Be the application behind, and the client in front.

    Attributes:
        passed: the application was called.
        told: the events.
    """

    def __init__(self) -> None:
        self.passed = False
        self.told: list[RequestRefused] = []
        self.sent: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be called."""
        self.passed = True

    async def send(self, message: Message) -> None:
        """Be answered."""
        self.sent.append(message)

    @property
    def outcome(self) -> str:
        """Return `passed`, or status and code of the no."""
        if self.passed:
            return "passed"
        return f"{self.sent[0]['status']} {self.problem['code']}"

    @property
    def problem(self) -> dict[str, Any]:
        """Return the body of the no."""
        found: dict[str, Any] = json.loads(self.sent[1]["body"])
        return found


async def nothing() -> Message:
    """Return what nobody asks for: a body is not read before its site is known."""
    raise AssertionError


async def through(
    method: str, *headers: str, path: str = "/auth/login", forms: str = "", origins: tuple[str, ...] = (OURS,)
) -> Answered:
    """Send a request with these headers."""
    answered, bus = Answered(), Bus()
    bus.subscribe(RequestRefused, answered.told.append)
    pairs = [(name.lower().encode(), value.encode()) for name, value in (each.split(": ", 1) for each in headers)]
    scope = {
        "type": "http",
        "method": method,
        "scheme": "https",
        "server": ("wsauth.test", 443),
        "client": ("192.0.2.1", 1),
        "path": path,
        "query_string": b"token=never-shown",
        "headers": pairs,
    }
    problems = Problems(bus, FakeClock(), Throttling(DEFAULT, FakeClock()))
    await Sites(answered, Origins(origins), problems, forms)(scope, nothing, answered.send)
    return answered


@pytest.mark.parametrize("method", CHANGES)
@pytest.mark.parametrize(
    ("origin", "outcome"),
    [
        (OURS, "passed"),
        (OURS.upper(), "passed"),
        (EVIL, "403 origin_denied"),
        ("null", "403 origin_denied"),
        ("", "403 origin_denied"),
        (f"{OURS}/", "403 origin_denied"),
        (f"{OURS}.evil.example", "403 origin_denied"),
        ("http://app.example.com", "403 origin_denied"),
        (f"{OURS}, {EVIL}", "403 origin_denied"),
    ],
)
async def test_a_change_comes_from_an_allowed_page(method: str, origin: str, outcome: str) -> None:
    """An Origin that is there must be one of ours, whatever the method, and Fetch Metadata does not help another."""
    assert (await through(method, f"Origin: {origin}", "Sec-Fetch-Site: same-origin")).outcome == outcome


async def test_two_origins_are_none() -> None:
    """Whoever sends the header twice is refused, also when both are ours."""
    for first, second in ((OURS, EVIL), (EVIL, OURS), (OURS, OURS)):
        assert (await through("POST", f"Origin: {first}", f"Origin: {second}")).outcome == "400 request_invalid"


@pytest.mark.parametrize(
    ("site", "outcome"),
    [
        ("same-origin", "passed"),
        ("none", "passed"),
        ("cross-site", "403 csrf_failed"),
        ("same-site", "403 csrf_failed"),
        ("odd", "403 csrf_failed"),
        ("", "403 csrf_failed"),
    ],
)
async def test_without_an_origin_the_browser_says_from_where(site: str, outcome: str) -> None:
    """No Origin and another site by Fetch Metadata is refused; with an allowed Origin its word counts."""
    header = f"Sec-Fetch-Site: {site}"
    assert (await through("DELETE", header)).outcome == outcome
    assert (await through("DELETE", header, f"Origin: {OURS}")).outcome == "passed"


async def test_programs_have_no_origin() -> None:
    """What is no browser sends neither header and may change things."""
    for method in CHANGES:
        assert (await through(method)).outcome == "passed"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_what_changes_nothing_is_looked_at_by_nobody(method: str) -> None:
    """Reading is for CORS and for the routes to judge."""
    assert (await through(method, f"Origin: {EVIL}", "Sec-Fetch-Site: cross-site")).outcome == "passed"


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("application/json", "passed"),
        ("Application/JSON; charset=utf-8", "passed"),
        (" application/json ;x", "passed"),
        ("", "415 request_invalid"),
        ("text/plain", "415 request_invalid"),
        ("text/json", "415 request_invalid"),
        ("application/jsonp", "415 request_invalid"),
        ("application/problem+json", "415 request_invalid"),
        ("multipart/form-data; boundary=application/json", "415 request_invalid"),
        (FORM, "415 request_invalid"),
        ("text/plain; application/json", "415 request_invalid"),
    ],
)
@pytest.mark.parametrize("size", ["Content-Length: 2", "Transfer-Encoding: chunked"])
async def test_a_body_is_json(kind: str, outcome: str, size: str) -> None:
    """Any other type, or none, is 415 before the body is read, from programs and from our own pages."""
    for headers in ([], [f"Origin: {OURS}"]):
        assert (await through("POST", f"Content-Type: {kind}", size, *headers)).outcome == outcome
    assert (await through("POST", f"Content-Type: {kind}", "Content-Length: 0")).outcome == "passed"


async def test_a_form_is_taken_at_one_path_where_it_is_asked_for() -> None:
    """`login.form` opens the login and nothing else, and only to pages that may send changes."""
    form = (f"Content-Type: {FORM}; charset=utf-8", "Content-Length: 2")
    assert (await through("POST", *form, forms="/auth/login")).outcome == "passed"
    for other in (f"Origin: {EVIL}", "Sec-Fetch-Site: cross-site"):
        assert (await through("POST", *form, other, forms="/auth/login")).outcome.startswith("403 ")
    for path in ("/auth/refresh", "/auth/login/", "//auth/login"):
        assert (await through("POST", *form, path=path, forms="/auth/login")).outcome == "415 request_invalid"
    assert (await through("POST", *form, forms="")).outcome == "415 request_invalid"


async def test_a_no_is_told_once_and_repeats_nothing() -> None:
    """The body has code, id and no word of the request; the event has the same id, the path and no query."""
    answered = await through("POST", f"Origin: {EVIL}")
    (event,) = answered.told
    problem = answered.problem
    assert (event.id, event.code, event.path, event.address) == (
        problem["id"],
        "origin_denied",
        "/auth/login",
        "192.0.2.1",
    )
    assert event.mend == "server.origins"
    assert "evil" not in json.dumps(problem)
    assert "never-shown" not in repr(event) + json.dumps(problem)
    headers = dict(answered.sent[0]["headers"])
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"content-type"] == b"application/problem+json"


async def test_what_is_no_request_passes() -> None:
    """A WebSocket is for the guard, which looks at its Origin itself."""
    answered = Answered()
    scope = {"type": "websocket", "headers": [(b"origin", EVIL.encode())]}
    await Sites(answered, Origins([OURS]), Problems(Bus(), FakeClock(), Throttling(DEFAULT, FakeClock())))(
        scope, nothing, answered.send
    )
    assert answered.passed


# At a real server.


async def test_a_server_refuses_other_sites_before_it_looks_at_the_password(tmp_path: Path) -> None:
    """A page elsewhere, a form and a text are refused with the right password; a program and our page get in."""
    config = f'[server]\norigins = ["{OURS}"]\n'
    async with serving(tmp_path, config=config) as server:
        password = await server.add_user("alice", new_password("alice"))
        body = json.dumps({"username": "alice", "password": password})
        tried = [
            ({"Origin": EVIL, "Content-Type": "application/json"}, 403, "origin_denied"),
            ({"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"}, 403, "csrf_failed"),
            ({"Content-Type": "text/plain"}, 415, "request_invalid"),
            ({"Origin": OURS, "Content-Type": FORM}, 415, "request_invalid"),
            ({"Content-Type": "application/json"}, 200, ""),
            ({"Origin": OURS, "Content-Type": "application/json"}, 200, ""),
            ({"Origin": server.http, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}, 200, ""),
        ]
        async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
            for headers, status, code in tried:
                answer = await client.post("/auth/login", content=body, headers=headers)
                assert (answer.status_code, answer.json().get("code", "")) == (status, code)
                if code:
                    assert code in await said(server, f"RequestRefused .*id={answer.json()['id']}")
        assert "LoggedIn" in server.output()
        lines = (JSON, f"Origin: {OURS}", f"Origin: {OURS}", "Content-Length: 2")
        start = "POST /auth/login HTTP/1.1"
        head = request("", *lines, without=("Upgrade", "Connection"), start=start)
        async with asyncio.timeout(5), wire(port_of(server.http), head + b"{}") as twice:
            assert ((await twice.answer()).status, server.output().count("came more than once")) == (400, 1)
