"""Which route a path belongs to."""

import pytest

from tests.unit.core.protocol.driving import policy
from wsauth.core.origins import Origins
from wsauth.core.routes import DEFAULT_SOURCES, Policy, Routes
from wsauth.errors import ConfigurationError, Refused


def route(path: str) -> Policy:
    """Return a route's rules."""
    return Policy(path=path, origins=Origins([]))


ROUTES = Routes([route("/ws"), route("/ws/*"), route("/ws/admin/*"), route("/ws/admin/log")], route("default"))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/ws", "/ws"),
        ("/ws/", "/ws/*"),
        ("/ws/room", "/ws/*"),
        ("/ws/admin", "/ws/*"),
        ("/ws/admin/", "/ws/admin/*"),
        ("/ws/admin/x", "/ws/admin/*"),
        ("/ws/admin/log", "/ws/admin/log"),
        ("/ws/admin/log/", "/ws/admin/*"),
        ("/wsx", "default"),
        ("/WS", "default"),
        ("/ws%2Fadmin", "default"),
        ("/ws/x/../admin/log", "/ws/*"),
        ("", "default"),
    ],
)
def test_the_longest_match_wins(path: str, found: str) -> None:
    """The path is compared as sent, whatever it may mean to somebody else."""
    assert ROUTES.find(path).path == found


@pytest.mark.parametrize("path", ["ws", "", "/ws*", "/ws/**", "*", "/a*b/*"])
def test_a_path_that_is_none_is_named(path: str) -> None:
    """A pattern of another kind would match nothing."""
    with pytest.raises(ConfigurationError, match="is not a path"):
        Routes([route(path)], route("default"))


@pytest.mark.parametrize("path", ["/ws", "/ws/*"])
def test_a_path_stands_there_once(path: str) -> None:
    """Of two rules for one path nobody knows which counts."""
    with pytest.raises(ConfigurationError, match="twice"):
        Routes([route(path), route(path)], route("default"))


@pytest.mark.parametrize(
    "path",
    [
        "/ws",
        "/ws/",
        "/ws/a",
        "/ws/a//b",
        "/ws//",
        "/ws/%61",
        "/ws/a;v=1",
        "/ws/.well-known/x",
        "/ws/a%2Fb",
        "/wsx",
        "/%78",
    ],
)
def test_a_path_that_means_one_route_passes(path: str) -> None:
    """However it is read."""
    ROUTES.check(path, ROUTES.find(path))


@pytest.mark.parametrize(
    "path",
    [
        "/%77s",
        "//ws",
        "/ws;x=1",
        "/%77s;x",
        "/x/../ws",
        "/./ws",
        "/ws/..",
        "/ws/%2e%2e/x",
        "/ws/..;/x",
        "/ws/..%2fx",
        "/ws/x/..%5cadmin/log",
        "/ws/admin%2Flog",
        "/ws/%61dmin/x",
        "/x\\..\\ws",
        "\\ws",
        "ws",
        "/ws x",
    ],
)
def test_a_path_that_may_mean_two_is_refused(path: str) -> None:
    """Decoded, with its slashes joined, its parameters cut, or its dots resolved (HS-23, GW-09)."""
    with pytest.raises(Refused) as refused:
        ROUTES.check(path, ROUTES.find(path))
    assert refused.value.code == "request_invalid"


def test_what_a_server_decoded_counts() -> None:
    """Where there is one it is believed."""
    ROUTES.check("/ws/x", ROUTES.find("/ws/x"), "/ws/y")
    with pytest.raises(Refused, match="another route"):
        ROUTES.check("/ws/x", ROUTES.find("/ws/x"), "/ws/admin/x")


@pytest.mark.parametrize("path", ["/wsx", "//ws", "/a/../ws", "/%77s"])
def test_where_there_is_no_route_there_is_nothing(path: str) -> None:
    """Whatever else the path may mean."""
    routes = Routes([route("/ws")], None)
    with pytest.raises(Refused) as refused:
        routes.check(path, routes.find(path))
    assert refused.value.code == "not_found"


def test_the_defaults_are_the_contracts() -> None:
    """CONTRACT section 3, `[[routes]]`."""
    rules = policy()
    assert rules.sources == frozenset(DEFAULT_SOURCES) == {"header", "cookie", "ticket", "subprotocol", "message"}
    assert (rules.require, rules.anonymous, rules.subprotocols, rules.refusals) == ((), False, (), "auto")
    assert (rules.auth_timeout, rules.auth_attempts, rules.grace) == (10, 3, 10)
    assert (rules.max_connection_age, rules.idle_timeout) == (86_400, float("inf"))
    assert (rules.max_message, rules.max_unauthenticated_message) == (65_536, 16_384)
