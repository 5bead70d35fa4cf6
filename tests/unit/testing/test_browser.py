"""wsauth.testing.browser: what a page could do and see, and nothing more."""

import pytest

from tests.unit.testing.chat import ORIGIN, chat
from wsauth import Identity
from wsauth.errors import ConnectionClosed
from wsauth.testing import FakeClock, LiveServer, TokenIssuer, browser, live_server
from wsauth.testing.browser import BrowserSocket


def offer(token: str) -> list[str]:
    """Return the subprotocols with which a page presents a token."""
    return ["wsauth.v1", f"wsauth.bearer.{token}"]


def test_a_page_logs_in_by_subprotocol() -> None:
    """A page with a good token is answered `wsauth.v1`, gets its lease, and talks."""
    app, guard = chat()
    with TokenIssuer(guard) as tokens, browser(app, origin=ORIGIN) as page:
        socket = page.connect("/ws", offer(tokens.token("alice")))
        assert socket.protocol == "wsauth.v1"
        assert socket.receive_json()["subject"] == "alice"
        socket.send("hello")
        assert socket.receive() == "alice: hello"


def test_a_page_logs_in_by_message() -> None:
    """A page without a token at the handshake is asked for it."""
    app, guard = chat()
    with TokenIssuer(guard) as tokens, browser(app, origin=ORIGIN) as page:
        socket = page.connect("/ws")
        assert socket.receive_json()["type"] == "auth_required"
        socket.send_json({"type": "auth", "token": tokens.token("bob")})
        assert socket.receive_json()["subject"] == "bob"


def test_a_refused_handshake_is_1006() -> None:
    """Of an HTTP refusal a page learns nothing: no exception, no reason, 1006."""
    with browser(chat().app, origin="https://mallory.example") as page:
        socket = page.connect("/ws")
        assert socket.closed() == (1006, "")
        socket.send("hello?")
        with pytest.raises(ConnectionClosed, match="1006"):
            socket.receive()


def test_a_readable_refusal_is_read() -> None:
    """An allowed page sees why its token was refused, as code and reason of the close."""
    with browser(chat().app, origin=ORIGIN) as page:
        code, reason = page.connect("/ws", offer("e30.e30.c2ln")).closed()
    assert code == 3000
    assert reason.startswith("token_invalid;id=")


def test_offers_of_which_none_is_chosen_fail() -> None:
    """A page that offers subprotocols and gets none has no connection, as in Chromium."""
    app, guard = chat()
    with guard.override(Identity("alice", issuer="tests")), browser(app, origin=ORIGIN) as page:
        assert page.connect("/ws", ["chat.v9"]).closed() == (1006, "")
        assert page.connect("/ws").protocol == ""


@pytest.mark.parametrize("protocols", [["a b"], [""], ["a", "a"], ["a,b"]], ids=str)
def test_what_is_no_subprotocol_is_not_offered(protocols: list[str]) -> None:
    """What `new WebSocket` rejects is rejected here."""
    with browser(chat().app, origin=ORIGIN) as page, pytest.raises(ValueError, match="subprotocol"):
        page.connect("/ws", protocols)


def test_a_page_closes_with_codes_of_its_own() -> None:
    """1000 and 3000 to 4999 are a page's to use; others are an error and leave the socket open."""
    app, guard = chat()
    with guard.override(Identity("alice", issuer="tests")), browser(app, origin=ORIGIN) as page:
        socket = page.connect("/ws")
        with pytest.raises(ValueError, match="1008"):
            socket.close(1008)
        socket.send("still there")
        assert socket.receive() == "alice: still there"
        socket.close(4001, "done")
        assert socket.closed() == (4001, "done")


def test_several_browsers_share_a_server() -> None:
    """A server that runs already serves pages of different origins."""
    app, guard = chat()
    alice = Identity("alice", issuer="tests")
    with (
        guard.override(alice),
        live_server(app) as server,
        browser(server, origin=ORIGIN) as good,
        browser(server, origin="null") as bad,
    ):
        assert _talks(good.connect("/ws"))
        assert bad.connect("/ws").closed() == (1006, "")


def test_a_lease_runs_out_without_waiting() -> None:
    """With a clock in hand, an hour's token ends in no time: a word of warning, stale, then closed."""
    clock = FakeClock()
    app, guard = chat(clock)
    with TokenIssuer(guard) as tokens, browser(app, origin=ORIGIN) as page:
        socket = page.connect("/ws", offer(tokens.token("alice", ttl=3600)))
        assert socket.receive_json()["type"] == "auth_success"
        clock.advance(3580)
        assert socket.receive_json()["type"] == "auth_expiring"
        clock.advance(20)
        assert socket.receive_json()["code"] == "token_expired"
        clock.advance(10)
        code, reason = socket.closed()
    assert code == 3000
    assert reason.startswith("token_expired;id=")


def test_a_revocation_reaches_the_page() -> None:
    """Through the live server a test revokes, and the page is told."""
    app, guard = chat()
    with TokenIssuer(guard) as tokens, live_server(app) as server, browser(server, origin=ORIGIN) as page:
        socket = page.connect("/ws", offer(tokens.token("mallory")))
        socket.receive()
        report = server.run(guard.revoke(subject="mallory"))
        assert (report.matched, report.closed) == (1, 1)
        assert socket.closed().code == 3000


def test_permissions_hold_for_an_overridden_guard() -> None:
    """Override says who, and not that they may: Bob lacks what the route requires."""
    app, guard = chat()
    bob = Identity("bob", issuer="tests", roles=["member"])
    root = Identity("root", issuer="tests", permissions=["chat:admin"])
    with browser(app, origin=ORIGIN) as page:
        with guard.override(bob):
            assert page.connect("/admin").closed().code == 3003
            assert _talks(page.connect("/closed"))
        with guard.override(root):
            assert _talks(page.connect("/admin"))
        assert page.connect("/closed").closed().code == 3000


def _talks(socket: BrowserSocket) -> bool:
    socket.send("hello")
    return str(socket.receive()).endswith(": hello")


def test_a_server_is_recognised() -> None:
    """The server that runs is used, and not run a second time."""
    with live_server(chat().app) as server, browser(server, origin=ORIGIN) as page:
        assert isinstance(page.server, LiveServer)
        assert page.server is server
