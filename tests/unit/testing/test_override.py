"""Guard.override: who everybody is while a test says so."""

import pytest
from starlette.testclient import TestClient

from tests.unit.testing.chat import ORIGIN, chat
from wsauth import Identity
from wsauth.testing import browser

ALICE = Identity("alice", issuer="tests")
BOB = Identity("bob", issuer="tests")


def test_an_in_process_client_needs_no_token() -> None:
    """Starlette's test client is Alice, on a socket and over HTTP."""
    app, guard = chat()
    client = TestClient(app)
    with guard.override(ALICE), client.websocket_connect("/ws") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "alice: hello"
        assert client.get("/me").json() == "alice"


def test_overrides_nest() -> None:
    """The inner one counts, and the outer one again after it."""
    app, guard = chat()
    client = TestClient(app)
    with guard.override(ALICE):
        with guard.override(BOB):
            assert client.get("/me").json() == "bob"
        assert client.get("/me").json() == "alice"
    assert client.get("/me").status_code == 401


def test_an_error_ends_it() -> None:
    """An override does not outlive a test that fails in it."""
    app, guard = chat()
    with pytest.raises(LookupError), guard.override(ALICE):
        raise LookupError
    assert TestClient(app).get("/me").status_code == 401


def test_origins_are_still_looked_at() -> None:
    """Mallory's page stays outside although everybody is Alice."""
    app, guard = chat()
    with guard.override(ALICE), browser(app, origin="https://mallory.example") as page:
        assert page.connect("/ws").closed() == (1006, "")


@pytest.mark.parametrize(
    ("path", "protocols"),
    [
        ("/ws?token=wrong", []),
        ("/ws?ticket=wrong", []),
        ("/ws", ["wsauth.v1", "wsauth.bearer.wrong"]),
        ("/ws?ticket=wrong&access_token=wrong", ["wsauth.v1", "wsauth.bearer.e30.e30.c2ln"]),
    ],
    ids=str,
)
def test_whatever_is_presented_is_hers(path: str, protocols: list[str]) -> None:
    """Bad, misplaced and contradictory credentials are all Alice's."""
    app, guard = chat()
    with guard.override(ALICE), browser(app, origin=ORIGIN) as page:
        socket = page.connect(path, protocols)
        if protocols:
            assert socket.receive_json()["subject"] == "alice"
        socket.send("hello")
        assert socket.receive() == "alice: hello"


def test_a_renewal_is_hers_too() -> None:
    """A message with any token renews, since it is Alice's."""
    app, guard = chat()
    with guard.override(ALICE), browser(app, origin=ORIGIN) as page:
        socket = page.connect("/ws", ["wsauth.v1"])
        assert socket.receive_json()["subject"] == "alice"
        socket.send_json({"type": "auth", "token": "e30.e30.c2ln"})
        assert socket.receive_json()["type"] == "auth_success"
