"""The OpenAPI document against the real server: whatever is sent, nothing fails, and every answer is as it says."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
import schemathesis.openapi
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import bearer, called, note_secrets, people

EXAMPLES: Final = 10
"""Good requests for each operation, and as many bad ones."""
REFUSALS: Final = ("unavailable", "draining")
"""The codes of a 503 that is meant."""

CONFORMANCE: Final = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""What every answer is held against; a 5xx is looked at apart, since 503 is one of the refusals."""


@dataclass
class Described:
    """Be a server, what it says of itself, and who asks it."""

    server: Serving
    document: dict[str, Any]
    key: str
    password: str
    names: Mapping[str, str]
    """Parameters of paths, each with something that is there."""

    def operations(self, *, admin: bool) -> Iterator[Any]:
        """Return the operations of one listener."""
        for result in schemathesis.openapi.from_dict(self.document).get_all_operations():
            assert isinstance(result, Ok), result.err()
            operation = result.ok()
            if operation.path.startswith("/admin/") is admin:
                yield operation


@pytest.fixture(scope="module")
async def described(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Described]:
    """Run one server for this module."""
    async with serving(tmp_path_factory.mktemp("described")) as server:
        key = await server.add_service("ops", grants=["wsauth:admin"])
        password = await people(server, ["alice", "bob", "carol"])
        document = (await called("GET", f"{server.admin}/openapi.json", key)).json()
        session = (await server.login("carol", password))["session_id"]
        order = (await called("POST", f"{server.admin}/admin/api/disconnections", key, {"session_id": session})).json()
        kid = (await called("GET", f"{server.admin}/admin/api/keys", key)).json()["items"][0]["kid"]
        names = {"name": "bob", "session_id": session, "order_id": order["id"], "kid": kid, "connection_id": "0" * 32}
        yield Described(server, document, key, password, names)
        assert "Traceback" not in server.output()


class Sender:
    """Send requests of one operation, and remember what was answered.

    Attributes:
        statuses: all of them.
        wrong: what must not have been answered, and to what.
    """

    def __init__(self, operation: Any, base: str, token: str) -> None:
        self.statuses: set[int] = set()
        self.wrong: list[str] = []
        self._operation = operation
        self._base = base
        self._headers = bearer(token) if token else {}

    def send_all(self, named: Mapping[str, str]) -> None:
        """Send what the operation takes, what it does not, and what it takes about something that is there."""
        self._send_some(self._operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        self._send_some(self._operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        found = {name: value for name, value in named.items() if f"{{{name}}}" in self._operation.path}
        if found:
            self._send_some(self._operation.as_strategy(path_parameters=found))

    def _send_some(self, cases: Any) -> None:
        bounded = settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )

        def send(case: "Case[Any]") -> None:
            self._send(case)

        try:
            given(case=cases)(bounded(send))()
        except Unsatisfiable:
            assert not self._operation.body, "only an operation without parameters takes everything"

    def _send(self, case: "Case[Any]") -> None:
        response = case.call(base_url=self._base, headers=self._headers, timeout=20)
        note_secrets(response.text)
        self.statuses.add(response.status_code)
        if response.status_code >= 500 and (response.status_code, response.json()["code"]) not in [
            (503, code) for code in REFUSALS
        ]:
            self.wrong.append(f"{response.status_code} {response.text}")
        try:
            case.validate_response(response, checks=CONFORMANCE, headers=self._headers)
        except BaseExceptionGroup as error:
            self.wrong += [f"{each}" for each in error.exceptions]


@pytest.mark.parametrize("who", ["nobody", "user", "service"])
async def test_the_public_api_answers_as_it_says(described: Described, who: str) -> None:
    """Nobody, a user and a service get no 5xx but a meant 503, and nothing that the document does not have."""
    server = described.server
    wrong: dict[str, list[str]] = {}
    answered: set[int] = set()
    for operation in described.operations(admin=False):
        token = {"nobody": "", "service": described.key}.get(who)
        if token is None:
            # Another login for each, since some of them end it.
            token = (await server.login("alice", described.password))["access_token"]
        sender = Sender(operation, server.http, token)
        await asyncio.to_thread(sender.send_all, described.names)
        answered |= sender.statuses
        if sender.wrong:
            wrong[operation.label] = sender.wrong
    assert not wrong, "\n".join(f"{label}: {each}" for label, those in wrong.items() for each in those)
    assert {200, 400, 401} <= answered
    assert (204 in answered) is (who != "nobody")


@pytest.mark.parametrize("who", ["administrator", "user", "nobody"])
async def test_the_admin_api_answers_as_it_says(described: Described, who: str) -> None:
    """An administrator gets no 5xx and nothing undocumented; of a user every request is 403, of nobody 401."""
    server = described.server
    wrong: dict[str, list[str]] = {}
    answered: set[int] = set()
    token = described.key if who == "administrator" else ""
    if who == "user":
        token = (await server.login("alice", described.password))["access_token"]
    for operation in described.operations(admin=True):
        sender = Sender(operation, server.admin, token)
        await asyncio.to_thread(sender.send_all, described.names)
        answered |= sender.statuses
        if sender.wrong:
            wrong[operation.label] = sender.wrong
    assert not wrong, "\n".join(f"{label}: {each}" for label, those in wrong.items() for each in those)
    if who == "administrator":
        taken = {"username": "carol"}
        answered.add((await called("POST", f"{server.admin}/admin/api/users", token, taken)).status_code)
        assert {200, 201, 400, 404, 409} <= answered
    else:
        assert 403 in answered if who == "user" else 401 in answered
        assert not {200, 201, 202, 204} & answered
