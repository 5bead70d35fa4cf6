"""The list of pages that may connect."""

import pytest

from wsauth.core.origins import Origins
from wsauth.errors import ConfigurationError


@pytest.mark.parametrize(
    "entry",
    [
        "https://app.example.com",
        "http://localhost:3000",
        "https://[::1]:8443",
        "https://xn--bcher-kva.example",
        "HTTPS://A",
    ],
)
def test_an_origin_allows_itself(entry: str) -> None:
    """In any letter case, and nothing else."""
    origins = Origins([entry])
    assert origins.allow(entry.lower())
    assert origins.allow(entry.upper())
    assert not origins.allow(entry + "/")
    assert not origins.allow("null")
    assert not origins.any


def test_letters_that_warn_of_proxy_are_not_the_same() -> None:
    """Folding is ASCII's alone: the Kelvin sign is no k."""
    assert not Origins(["https://k.example"]).allow("https://\u212a.example")


def test_no_list_allows_nobody_and_a_star_everybody() -> None:
    """An empty list is no browser at all."""
    assert not Origins([]).allow("https://app.example.com")
    every = Origins(["*"])
    assert every.any
    assert every.allow("https://anything.example")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("null", "sandboxed"),
        ("app.example.com", "not an origin"),
        ("https://app.example.com/", "not an origin"),
        ("https://*.example.com", "not an origin"),
        ("wss://app.example.com", "not an origin"),
        ("https://bücher.example", "xn--"),
        ("https://app.example.com:443", "write https://app.example.com"),
        ("http://app.example.com:80", "write http://app.example.com"),
    ],
)
def test_an_entry_that_could_never_match_is_named(entry: str, words: str) -> None:
    """The configuration is refused with the mend."""
    with pytest.raises(ConfigurationError, match=words.replace("*", r"\*")):
        Origins([entry])


def test_a_list_is_a_list() -> None:
    """One text would be a list of letters."""
    with pytest.raises(ConfigurationError, match=r"origins=\["):
        Origins("https://app.example.com")
