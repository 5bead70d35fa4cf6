"""What may stand behind a route, and how it is written."""

from pathlib import Path

import pytest

from tests.unit.settings.reading import Folder
from wsauth.settings import Settings
from wsauth.settings.declarations import toml
from wsauth.settings.upstreams import host_of, is_host, is_network, is_remote, path_of

HIDDEN = "hunter2-hunter2"


def _route(upstream: object, more: str = "") -> str:
    return f"[[routes]]\nupstream = {toml(upstream)}\n{more}"


@pytest.mark.parametrize(
    "upstream",
    [
        "echo",
        "asgi:chat:app",
        "asgi:chat.rooms:lobby.app",
        "ws://localhost",
        "ws://127.0.0.1:9000",
        "ws://127.0.0.1:9000/",
        "ws://[::1]:9000/chat",
        "ws://Backend.internal.:65535/a/b;c,d@e",
        "ws://chat_backend:1",
        "wss://chat.example.com/socket",
        "unix:/run/chat.sock",
    ],
)
def test_what_may_stand_behind(folder: Folder, upstream: str) -> None:
    """It is kept as it was written, and `upstreams` is a list of it, alone or not."""
    (route,) = folder.load(_route(upstream)).routes
    assert (route.upstream, route.upstreams) == (upstream, (upstream,))
    if is_network(upstream):
        second = f"ws://second:9001{path_of(upstream)}"
        (route,) = folder.load(_route([upstream, second])).routes
        assert route.upstream == route.upstreams == (upstream, second)


def test_a_list_may_mix_kinds_of_addresses(folder: Folder) -> None:
    """One behind TLS, one in the clear, one on this machine; a list of one stays a list."""
    several = ["wss://a", "ws://b", "unix:/run/c.sock"]
    assert folder.load(_route(several)).routes[0].upstreams == tuple(several)
    assert folder.load(_route(["ws://a"])).routes[0].upstream == ("ws://a",)


MEND = ": write ws://host:port or wss://host:port"


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        ("", " = '' is no upstream: write \"echo\", asgi:package.module:app, ws://host:port"),
        ("Echo", " = 'Echo' is no upstream: write"),
        ("127.0.0.1:9000", " = '127.0.0.1:9000' is no upstream: write"),
        ("WS://a", " = 'WS://a' is no upstream: write"),
        ("ws:a", " = 'ws:a' is no upstream: write"),
        ("asgi:chat", " = 'asgi:chat' is no application: write asgi:package.module:app"),
        ("asgi:chat/room:app", " = 'asgi:chat/room:app' is no application: write asgi:package.module:app"),
        ("http://127.0.0.1:9000", " begins with http://: write ws:// in its place"),
        ("https://a.example", " begins with https://: write wss:// in its place"),
        ("ws://", f" = 'ws://' is no address{MEND}"),
        ("ws:///path", f" = 'ws:///path' is no address{MEND}"),
        ("ws://a:0", f" = 'ws://a:0' is no address{MEND}"),
        ("ws://a:65536", f" = 'ws://a:65536' is no address{MEND}"),
        ("ws://a:", f" = 'ws://a:' is no address{MEND}"),
        ("ws://::1:9000", f" = 'ws://::1:9000' is no address{MEND}"),
        ("ws://[127.0.0.1]", f" = 'ws://[127.0.0.1]' is no address{MEND}"),
        ("ws://127.0.1", f" = 'ws://127.0.1' is no address{MEND}"),
        ("ws://-a", f" = 'ws://-a' is no address{MEND}"),
        ("ws://a b", f" = 'ws://a b' is no address{MEND}"),
        ("ws://a/b c", f" = 'ws://a/b c' is no address{MEND}"),
        ("ws://a/*", f" = 'ws://a/*' is no address{MEND}"),
        ("ws://a/ü", f" = 'ws://a/ü' is no address{MEND}"),
        ("ws://ü.example", f" = 'ws://ü.example' is no address{MEND}"),
        (f"ws://a/{'x' * 100}\t", f" is no address{MEND}"),
        ("ws://a/?key=x", " has a query: write it without the '?' and what follows"),
        ("wss://a#x", " has a fragment: write it without the '#' and what follows"),
        ("ws://alice@a", " has a user or a password: write it without them"),
        ("unix:", " names no socket: write unix:/path/to.sock"),
        ("unix://a.sock", " names no socket: write unix:/path/to.sock"),
        ("unix:/a.sock?x", " names no socket: write unix:/path/to.sock"),
    ],
)
def test_what_may_not_stand_behind(folder: Folder, upstream: str, said: str) -> None:
    """The line says what is wrong and how it is written, and in a list, which of them it is."""
    assert folder.refused(_route(upstream)).startswith(f"{folder.file}: routes[0].upstream{said}")
    several = folder.refused(_route(["ws://first:9000", upstream]))
    assert several.startswith(f"{folder.file}: routes[0].upstream[1]{said}")


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        ([], " is an empty list: write ws://host:port"),
        (["ws://a", "echo"], "[1] cannot be 'echo' in a list: write ws://host:port"),
        (["asgi:chat:app"], "[0] cannot be 'asgi:chat:app' in a list: write ws://host:port"),
        (["ws://a", "ws://b", "ws://a"], "[2] stands there twice: write each address once"),
        (["ws://A:80/", "ws://a"], "[1] stands there twice: write each address once"),
        (["ws://a", "ws://b/c"], "[1] has another path than the first: write one and the same"),
        (["ws://a/c", "wss://b/c", "unix:/c"], "[2] has another path than the first: write one and the same"),
        (["ws://a/c", "ws://b/c/"], "[1] has another path than the first: write one and the same"),
        (["unix:a.sock", "unix:./a.sock"], "[1] stands there twice: write each address once"),
        (1, ' is neither a text nor a list of texts: write "echo", or ws://host:port'),
        (["ws://a", 1], ' is neither a text nor a list of texts: write "echo", or ws://host:port'),
        ({"a": "ws://a"}, ' is neither a text nor a list of texts: write "echo", or ws://host:port'),
    ],
)
def test_lists_that_cannot_be_meant(folder: Folder, upstream: object, said: str) -> None:
    """A list has addresses, at least one, each once."""
    assert folder.refused(_route(upstream)).startswith(f"{folder.file}: routes[0].upstream{said}")


def test_two_ports_or_schemes_are_two_addresses(folder: Folder) -> None:
    """Only what leads to the same place stands there twice."""
    several = ["ws://a", "ws://a:81/", "wss://a", "wss://a:80", "unix:/a"]
    assert folder.load(_route(several)).routes[0].upstreams == tuple(several)


@pytest.mark.parametrize(
    "upstream",
    [f"ws://alice:{HIDDEN}@a", f"x://alice:{HIDDEN}@a", f"unix:{HIDDEN}@?", f"ws://a/?token={HIDDEN}", f"x#{HIDDEN}"],
)
def test_what_may_be_a_secret_is_not_shown(folder: Folder, upstream: str) -> None:
    """Alone or in a list, from the file or from a variable."""
    assert HIDDEN not in folder.refused(_route(upstream))
    assert HIDDEN not in folder.refused(_route(["ws://a", upstream]))
    assert HIDDEN not in folder.refused("", {"WSAUTH__ROUTES__0__UPSTREAM": upstream})


def test_a_socket_is_relative_to_the_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every path in the file is; with three slashes it is a URL and means the same as with one."""
    monkeypatch.chdir("/")
    assert folder.load(_route("unix:chat.sock")).routes[0].upstream == f"unix:{folder.path}/chat.sock"
    assert folder.load(_route(["unix:chat.sock"])).routes[0].upstream == (f"unix:{folder.path}/chat.sock",)
    assert folder.load(_route("unix:///run/chat.sock")).routes[0].upstream == "unix:/run/chat.sock"


def test_a_socket_whose_path_is_too_long_is_refused(folder: Folder) -> None:
    """The kernel takes 107 bytes, and would only say so when the first client comes."""
    assert folder.load(_route(f"unix:/{'é' * 53}")).routes[0].upstreams == (f"unix:/{'é' * 53}",)
    line = folder.refused(_route(f"unix:/{'é' * 53}x"))
    assert line.endswith("x is over 107 bytes, which no socket's path may be; write a shorter one")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ws://a:9000", "ws://a:9000"),
        ("ws://a:9000, wss://b", ("ws://a:9000", "wss://b")),
        ('["ws://a:9000"]', ("ws://a:9000",)),
        ('["ws://a/b,c"]', ("ws://a/b,c",)),
    ],
)
def test_a_variable_has_one_or_several(folder: Folder, text: str, found: object) -> None:
    """Several with commas, or as in the file."""
    assert folder.load("", {"WSAUTH__ROUTES__0__UPSTREAM": text}).routes[0].upstream == found


def test_a_variable_may_be_one_of_several(folder: Folder) -> None:
    """It replaces one, adds one or begins a list; a text has no entries, and the variable that is wrong is named."""
    second = {"WSAUTH__ROUTES__0__UPSTREAM__1": "ws://b"}
    assert folder.load(_route(["ws://a"]), second).routes[0].upstreams == ("ws://a", "ws://b")
    assert folder.load(_route(["ws://a", "ws://c"]), second).routes[0].upstreams == ("ws://a", "ws://b")
    fresh = {"WSAUTH__ROUTES__1__PATH": "/b", "WSAUTH__ROUTES__1__UPSTREAM__0": "ws://b"}
    assert folder.load("", fresh).routes[1].upstream == ("ws://b",)
    text = folder.refused(_route("ws://a"), {"WSAUTH__ROUTES__0__UPSTREAM__0": "ws://b"})
    assert text == "WSAUTH__ROUTES__0__UPSTREAM__0: routes[0].upstream is no list; remove the variable"
    wrong = folder.refused(_route(["ws://a"]), {"WSAUTH__ROUTES__0__UPSTREAM__1": "http://b"})
    assert wrong.startswith("WSAUTH__ROUTES__0__UPSTREAM__1: routes[0].upstream[1] begins with http://")
    first = folder.refused(_route(["ws://a", "http://b"]), {"WSAUTH__ROUTES__0__UPSTREAM__0": "ws://c"})
    assert first.startswith(f"{folder.file}: routes[0].upstream[1] begins with http://")


@pytest.mark.parametrize(
    ("option", "found"),
    [
        ("echo", "echo"),
        ("asgi:chat:app", "asgi:chat:app"),
        ("wss://a/b", "wss://a/b"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("ws://a,ws://b", ("ws://a", "ws://b")),
    ],
)
def test_the_option_takes_them_all(folder: Folder, option: str, found: object) -> None:
    """`--upstream` says what the key would, for every path."""
    (route,) = folder.load("", None, {"upstream": option}).routes
    assert (route.path, route.upstream) == ("/*", found)


def test_the_option_is_relative_to_the_working_directory(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever types a path means it as the shell does; what is wrong names the option."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    one = folder.load("", None, {"upstream": "unix:a.sock"}).routes[0]
    assert one.upstream == f"unix:{Path.cwd()}/a.sock"
    two = folder.load("", None, {"upstream": "unix:a.sock, ws://b"}).routes[0]
    assert two.upstream == (f"unix:{Path.cwd()}/a.sock", "ws://b")
    line = folder.refused("", None, {"upstream": "http://b"})
    assert line == "--upstream: routes[0].upstream begins with http://: write ws:// in its place"


@pytest.mark.parametrize("upstream", ["ws://a", ["ws://a", "unix:b.sock"]])
def test_a_dump_restores_an_upstream_as_it_was(folder: Folder, upstream: object) -> None:
    """A worker, which has no file to be relative to, gets the same text or list."""
    settings = folder.load(_route(upstream))
    restored = Settings.restore(settings.dump())
    assert restored == settings
    assert restored.routes[0].upstream == settings.routes[0].upstream


@pytest.mark.parametrize(
    ("upstream", "host", "remote", "path"),
    [
        ("ws://localhost:1/", "localhost", False, ""),
        ("ws://127.8.0.1/a", "127.8.0.1", False, "/a"),
        ("wss://[::1]", "::1", False, ""),
        ("ws://0.0.0.0", "0.0.0.0", True, ""),  # noqa: S104 -- compared, not bound
        ("wss://A.example:1/b/", "a.example", True, "/b/"),
        ("ws://[2001:db8::7]/", "2001:db8::7", True, ""),
        ("unix:/a.example", "", False, ""),
        ("echo", "", False, ""),
        ("asgi:chat:app", "", False, ""),
    ],
)
def test_where_an_upstream_is(upstream: str, host: str, remote: bool, path: str) -> None:
    """Only what goes to another machine is remote; a slash alone is no path."""
    assert (host_of(upstream), is_remote(upstream), path_of(upstream)) == (host, remote, path)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("chat.example.com", True),
        ("Chat.example.com:8443", True),
        ("[::1]:80", True),
        ("127.0.0.1", True),
        ("", False),
        ("::1", False),
        ("a:0", False),
        ("a:b", False),
        ("a/b", False),
        ("a..b", False),
        ("1.2.3.4.5", False),
        ("[::1", False),
    ],
)
def test_what_a_host_is(text: str, good: bool) -> None:
    """A name or an address, perhaps with a port."""
    assert is_host(text) is good
