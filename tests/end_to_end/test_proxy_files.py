"""What is shipped for proxies and what the page about it shows are one; Traefik's files, which nothing here runs."""

import re
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, Final

import pytest

from tests.end_to_end.proxied import FILES

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "proxies.md"
SHIPPED: Final = {
    "nginx": ("nginx.conf",),
    "caddy": ("Caddyfile",),
    "haproxy": ("haproxy.cfg",),
    "lua": ("wsauth-verify.lua",),
    "yaml": ("traefik.yaml", "traefik-site.yaml"),
}
"""Language of a block in the page, and whose text it is."""
TOLD: Final = {f"X-Wsauth-{each}" for each in ("Issuer", "Subject", "Session", "Roles", "Permissions", "Truncated")}
"""What verify says (CONTRACT section 8)."""
KNOWN: Final = {
    "entryPoints": {"address", "http.aliasHeadersStrategy"},
    "providers": {"filename"},
    "routers": {"entryPoints", "rule", "priority", "middlewares", "service", "tls"},
    "middlewares": {
        "ipAllowList.sourceRange",
        "redirectScheme.scheme",
        "redirectScheme.permanent",
        "headers.customRequestHeaders",
        "forwardAuth.address",
        "forwardAuth.authRequestHeaders",
        "forwardAuth.authResponseHeaders",
    },
    "services": {"loadBalancer.passHostHeader", "loadBalancer.serversTransport", "loadBalancer.servers"},
    "serversTransports": {"forwardingTimeouts.idleConnTimeout"},
    "options": {"minVersion"},
}
"""Keys of Traefik 3.7's reference that the files use; another one keeps Traefik from starting."""


def blocks() -> list[tuple[str, str]]:
    """Return language and text of the page's blocks that show shipped files."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found if language in SHIPPED]


def traefik(name: str) -> Any:
    """Return a file of Traefik's."""
    return pytest.importorskip("yaml").safe_load((FILES / name).read_text("utf-8"))


def keys(value: Any, upto: set[str], path: str = "") -> set[str]:
    """Return the paths below a value, down to those that are known."""
    if path in upto or not isinstance(value, dict):
        return {path}
    return {each for name, below in value.items() for each in keys(below, upto, f"{path}.{name}".strip("."))}


def test_the_page_shows_what_is_shipped() -> None:
    """Every block is an excerpt of its file, word by word, and every file is linked and excerpted."""
    shown = set()
    for language, text in blocks():
        files = {name: (FILES / name).read_text("utf-8") for name in SHIPPED[language]}
        widths = ("", " " * 2, " " * 4, " " * 6, " " * 8, "\t", "\t\t")
        at = {name for name, whole in files.items() if any(indent(dedent(text), width) in whole for width in widths)}
        assert at, text
        shown |= at
    assert shown == {name for names in SHIPPED.values() for name in names}
    for name in shown:
        assert f"(../../deploy/proxies/{name})" in PAGE.read_text("utf-8")
    assert {file.name for file in FILES.iterdir()} == shown


def test_every_proxy_tells_the_application_the_same() -> None:
    """Each file passes on all that verify says."""
    for name in ("nginx.conf", "Caddyfile", "wsauth-verify.lua", "traefik-site.yaml"):
        text = (FILES / name).read_text("utf-8").lower()
        assert not [each for each in TOLD if each.lower() not in text], name


def test_traefik_knows_every_key() -> None:
    """The files have keys of its reference only."""
    static, site = traefik("traefik.yaml"), traefik("traefik-site.yaml")
    rooms = {**static, **site["http"], "options": site["tls"]["options"]}
    assert set(site) == {"http", "tls"}
    assert set(rooms) == set(KNOWN)
    for room, entries in rooms.items():
        for name, entry in entries.items():
            assert keys(entry, KNOWN[room]) <= KNOWN[room], f"{room}.{name}"
    assert [set(each) for each in site["tls"]["certificates"]] == [{"certFile", "keyFile"}]
    for entry in static["entryPoints"].values():
        assert entry["http"]["aliasHeadersStrategy"] == "delete"


def test_traefik_finds_what_its_routers_name() -> None:
    """Entry points, middlewares and services are there; over TLS, what clients say is removed before all else."""
    points, http = traefik("traefik.yaml")["entryPoints"], traefik("traefik-site.yaml")["http"]
    for name, router in http["routers"].items():
        assert set(router["entryPoints"]) <= set(points)
        assert set(router["middlewares"]) <= set(http["middlewares"])
        assert router["service"] in http["services"]
        assert ("tls" in router) == (router["entryPoints"] == ["websecure"])
        assert router["middlewares"][0] in ("unsaid", "nobody", "to-https"), name
    assert http["routers"]["application"]["middlewares"] == ["unsaid", "guard"]
    places = [(router["entryPoints"][0], router["priority"]) for router in http["routers"].values()]
    assert len(set(places)) == len(places)


def test_traefik_removes_what_it_then_says() -> None:
    """Every header of the answer was taken from the client's request before."""
    middlewares = traefik("traefik-site.yaml")["http"]["middlewares"]
    removed = middlewares["unsaid"]["headers"]["customRequestHeaders"]
    assert set(removed.values()) == {""}
    assert set(middlewares["guard"]["forwardAuth"]["authResponseHeaders"]) == TOLD
    assert TOLD | {"X-Wsauth-Assertion", "X-Original-URI", "Forwarded"} == set(removed)
