"""What a path may mean to what is behind us."""

import pytest

from wsauth.core.paths import meanings
from wsauth.errors import Refused


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/", ()),
        ("/ws", ()),
        ("/ws/room.1", ()),
        ("/%77s", ("/ws",)),
        ("/a%2Fb", ("/a/b",)),
        ("/a%252Fb", ("/a%2Fb",)),
        ("/%ff%zz", ("/\xff%zz",)),
        ("//a///b", ("//a///b", "/a/b")),
        ("//", ("//", "/")),
        ("/a;v=1/b;w", ("/a;v=1/b;w", "/a/b")),
        ("/a%3Bv", ("/a;v", "/a")),
        ("/a/;v", ("/a/;v", "/a/")),
        ("/a\\b", ("/a\\b", "/a/b")),
        ("/.well-known/x", ("/.well-known/x", "/.well-known/x")),
        ("/...", ("/...", "/...")),
    ],
)
def test_other_readings_are_named(path: str, meant: tuple[str, ...]) -> None:
    """A path that can be read in one way only has none."""
    assert meanings(path) == meant


def test_what_a_server_decoded_is_taken_as_it_is() -> None:
    """It is not decoded twice."""
    assert meanings("/%2577s", "/%77s") == ("/%77s",)


@pytest.mark.parametrize(
    "path",
    ["/..", "/.", "/a/../b", "/a/./b", "/a/..;x/b", "/a/%2e%2E/b", "/a/.%2e", "/a%2f..%2fb", "/a%5c..", "/..%3b/"],
)
def test_dots_have_no_good_meaning(path: str) -> None:
    """A client resolves them before it asks (RFC 3986 section 5.2.4)."""
    with pytest.raises(Refused, match="dots"):
        meanings(path)
