"""Every no of the HTTP API: what the client gets, and what the log says by the same id."""

import json
import logging
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response

from tests.leaks import secret
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import bearer, new_password, people, said
from wsauth.core.refusals import TABLE
from wsauth.errors import ConfigurationError, Refused
from wsauth.server.plane import Body
from wsauth.server.problems import Problems, Unfit, no_store
from wsauth.services import journal
from wsauth.services.events import Bus
from wsauth.services.throttling import DEFAULT, Throttling
from wsauth.services.users import PasswordRejected
from wsauth.testing import FakeClock

TYPED = "what-the-client-typed"
MEMBERS = {"status", "title", "detail", "code", "action", "id"}
"""Of every body; some have `retry_after` or `reasons` too."""


def answered(error: Refused, path: str = "/x", method: str = "GET") -> Response:
    """Return the answer to a refusal."""
    bus = Bus()
    journal.subscribe(bus)
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": TYPED.encode(),
        "headers": [],
        "server": ("wsauth.test", 80),
        "client": ("192.0.2.1", 1),
        "scheme": "http",
    }
    return Problems(bus, FakeClock(), Throttling(DEFAULT, FakeClock())).answer(Request(scope), error)


def body(response: Response) -> dict[str, Any]:
    """Return the JSON of an answer."""
    found: dict[str, Any] = json.loads(bytes(response.body))
    return found


@pytest.mark.parametrize("code", TABLE)
def test_each_code_is_what_the_table_says(code: str, caplog: pytest.LogCaptureFixture) -> None:
    """Status, action and text are the table's; the reason is in one line of the log by the id, and in no body."""
    caplog.set_level(logging.INFO)
    response = answered(Refused(code, "because of Mallory", mend="server.origins", retry_after=1.2))
    problem = body(response)
    rule = TABLE[code]
    assert set(problem) == MEMBERS | {"retry_after"}
    assert (problem["status"], response.status_code) == (rule.status or 503,) * 2
    assert (problem["code"], problem["detail"], problem["retry_after"]) == (code, rule.text, 2)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["retry-after"] == "2"
    assert response.headers.get("www-authenticate") == ("Bearer" if rule.status == 401 else None)
    assert re.fullmatch("[a-z2-7]{12}", problem["id"])
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"(id={problem['id']})" in line
    assert line.endswith("because of Mallory; to change it: server.origins")
    assert "Mallory" not in bytes(response.body).decode()
    assert TYPED not in line


def test_each_no_has_an_id_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred refusals have a hundred ids, each in one line."""
    caplog.set_level(logging.INFO)
    ids = {body(answered(Refused("not_found", "nothing")))["id"] for _ in range(100)}
    assert {re.findall(r"\(id=(\w+)\)", record.getMessage())[0] for record in caplog.records} == ids
    assert len(ids) == len(caplog.records) == 100


@pytest.mark.parametrize("status", [400, 405, 413, 415, 431])
def test_an_unfit_request_says_how_to_mend_it(status: int) -> None:
    """Its code is `request_invalid`, its status and detail are its own."""
    problem = body(answered(Unfit(status, "send JSON")))
    assert (problem["status"], problem["code"], problem["detail"]) == (status, "request_invalid", "send JSON")


def test_a_rejected_password_has_its_reasons() -> None:
    """422, and why as a list for the page to show."""
    problem = body(answered(PasswordRejected(["it is too short", "it is too common"])))
    assert (problem["status"], problem["code"]) == (422, "password_rejected")
    assert problem["reasons"] == ["it is too short", "it is too common"]


def test_nobody_forges_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """A line break in path, method or reason stays one line (CWE-117)."""
    caplog.set_level(logging.INFO)
    answered(Refused("not_found", "a\nLoggedIn b"), path="/x\r\nLoggedIn mallory", method="GET\nLoggedIn c")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.isprintable()


@pytest.fixture
async def client(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[httpx2.AsyncClient]:
    """Ask an application whose routes fail in every way."""
    caplog.set_level(logging.INFO)
    bus = Bus()
    journal.subscribe(bus)
    app = FastAPI(openapi_url=None)
    Problems(bus, FakeClock(), Throttling(DEFAULT, FakeClock())).install(app)

    class Named(Body):
        name: str
        count: int = 0

    errors: dict[str, Exception] = {
        "refused": Refused("permission_denied", "because of Mallory"),
        "unusable": ConfigurationError("roles is a list"),
        "broken": RuntimeError(f"failed over {TYPED}"),
    }

    @app.get("/fails/{how}")
    async def fails(how: str) -> None:
        raise errors[how]

    @app.post("/named")
    async def named(body: Named, response: Response) -> str:
        await no_store(response)
        return body.name

    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://wsauth.test") as asking:
        yield asking


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ("GET /fails/refused", 403, "permission_denied"),
        ("GET /fails/unusable", 400, "request_invalid"),
        ("GET /fails/broken", 503, "unavailable"),
        ("GET /nowhere", 404, "not_found"),
        ("PUT /named", 405, "request_invalid"),
        ("POST /named", 400, "request_invalid"),
    ],
)
async def test_every_failure_is_a_problem(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture, asked: str, status: int, code: str
) -> None:
    """Whatever fails, the answer is RFC 9457 by the table, kept by nobody, and explained once by its id."""
    answer = await client.request(*asked.split())
    problem = answer.json()
    assert MEMBERS <= set(problem) <= MEMBERS | {"retry_after"}
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert len([record for record in caplog.records if f"id={problem['id']}" in record.getMessage()]) == 1
    assert TYPED not in answer.text
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"name": "x", "count": TYPED}, "count"),
        ({"name": [TYPED]}, "name"),
        ({"name": "x", "more": TYPED}, "more"),
        ({"count": 1}, "name"),
        ({"name": "x", "count": "1"}, "count"),
    ],
)
async def test_a_malformed_body_names_the_field_and_repeats_no_value(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture, body: dict[str, Any], named: str
) -> None:
    """400 with the name of the field; what stood there, which may be a password, is in no answer and no line."""
    answer = await client.post("/named", json=body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{named} (")
    assert TYPED not in answer.text + caplog.text


# At a real server.


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Serving]:
    """Run a server."""
    async with serving(tmp_path) as running:
        yield running
        assert "Traceback" not in running.output()


async def test_each_no_of_a_server_is_explained_in_its_log(server: Serving) -> None:
    """400, 401, 404, 405, 409 and 422: a problem whose id leads to one line that says why."""
    password = await people(server, ["bob"])
    token = (await server.login("bob", password))["access_token"]
    robot = await server.add_service("robot")
    typed = secret("a-short-1", "a password that was rejected")
    change = {"current_password": password, "new_password": typed}
    tried: list[tuple[str, str, str, Any, int, str]] = [
        ("GET", "/auth/me", "", None, 401, "credentials_missing"),
        ("GET", "/auth/me", f"{token}x", None, 401, "token_invalid"),
        ("GET", "/auth/nowhere", token, None, 404, "not_found"),
        ("PATCH", "/auth/me", token, None, 405, "request_invalid"),
        ("POST", "/auth/logout", robot, None, 409, "conflict"),
        ("PUT", "/auth/password", token, change, 422, "password_rejected"),
        (
            "PUT",
            "/auth/password",
            token,
            {**change, "current_password": new_password("no one")},
            401,
            "credentials_invalid",
        ),
        ("POST", "/auth/login", "", {"username": "bob", "password": [typed]}, 400, "request_invalid"),
        ("POST", "/auth/login", "", {"username": "bob", "password": typed, "cookie": "yes"}, 400, "request_invalid"),
    ]
    async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as client:
        for method, path, credential, sent, status, code in tried:
            answer = await client.request(method, path, json=sent, headers=bearer(credential) if credential else {})
            problem = answer.json()
            assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
            assert MEMBERS <= set(problem) <= MEMBERS | {"retry_after", "reasons"}
            assert answer.headers["cache-control"] == "no-store"
            assert code in await said(server, f"id={problem['id']}")
            assert server.output().count(problem["id"]) == 1
            assert typed not in answer.text
