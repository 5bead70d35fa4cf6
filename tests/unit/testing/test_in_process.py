"""Starlette's in-process client, which gives every connection an event loop of its own."""

from starlette.testclient import TestClient

from tests.unit.testing.chat import chat
from wsauth.testing import FakeClock, TokenIssuer


def test_deadlines_hold_on_the_second_loop() -> None:
    """A connection is closed in time although the loop of the one before it is gone."""
    clock = FakeClock()
    app, guard = chat(clock)
    with TokenIssuer(guard):
        for _ in range(2):
            with TestClient(app).websocket_connect("/ws") as mallory:
                assert mallory.receive_json()["type"] == "auth_required"
        with TestClient(app).websocket_connect("/ws") as mallory:
            assert mallory.receive_json()["type"] == "auth_required"
            clock.advance(10)
            assert mallory.receive_json()["code"] == "auth_timeout"


def test_a_token_is_as_good_as_on_a_server() -> None:
    """Alice's token in a header opens an in-process connection."""
    app, guard = chat()
    with TokenIssuer(guard) as tokens:
        headers = {"Authorization": f"Bearer {tokens.token('alice')}"}
        with TestClient(app).websocket_connect("/ws", headers=headers) as alice:
            alice.send_text("hello")
            assert alice.receive_text() == "alice: hello"
