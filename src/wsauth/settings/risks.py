"""What is allowed and unsafe: each with the key and the risk."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wsauth.core.origins import ANY
from wsauth.core.units import seconds, size
from wsauth.settings.routes import Route
from wsauth.settings.server import is_loopback, is_wildcard
from wsauth.settings.settings import Settings
from wsauth.settings.upstreams import is_network, is_remote

__all__ = ["warnings"]

_LONG_ACCESS: Final = 3600.0
_LONG_TICKET: Final = 300.0
_LONG_GRACE: Final = 60.0
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_WRITERS: Final = stat.S_IWGRP | stat.S_IWOTH
_SOURCES: Final = {
    "insecure_query": "tokens stand in URLs, which logs and histories keep; a ticket does not",
    "insecure_bare_subprotocol": "tokens are answered in a header, which proxies log; use subprotocol",
    "basic": "the password itself is sent with every handshake; prefer tokens",
}


def warnings(settings: Settings, file: Path | None = None) -> list[str]:
    """Return the unsafe choices, each in one line: the key, and the risk.

    Args:
        settings: what was loaded.
        file: where it was loaded from, to tell who can write it.
    """
    found = [*_server(settings), *_pages(settings), *_tokens(settings), *_issuers(settings), *_rest(settings)]
    for at, route in enumerate(settings.routes):
        name = f"routes[{at}]"
        found += [*_route(name, route), *_upstreams(name, route), *_unproven(name, route, settings.tokens.algorithm)]
    return found + list(_files(settings, file))


def _server(settings: Settings) -> Iterator[str]:
    server = settings.server
    if server.insecure_plaintext:
        yield "server.insecure_plaintext = true: whoever is on the way reads passwords, tokens and messages"
    if server.tls_minimum == "1.2":
        yield 'server.tls_minimum = "1.2": older handshakes are weaker and show more; TLS 1.3 is spoken everywhere'
    if any(network.prefixlen == 0 for network in server.proxies):
        yield "server.trusted_proxies names every address: everybody can say where they come from"
    if not server.public_url and is_wildcard(server.host):
        yield "server.public_url is empty while every address is listened on: only loopback names are answered"
    elif not server.public_url and server.trusted_proxies:
        yield "server.public_url is empty behind a proxy: other names get 421, and their pages are refused"
    if server.tls_client_ca and not any("certificate" in route.sources for route in settings.routes):
        yield 'server.tls_client_ca keeps nobody out: no route takes certificates; write "certificate" into its sources'
    if _is_plain(server.public_url):
        yield "server.public_url begins with http: whoever is on the way reads passwords, tokens and messages"


def _pages(settings: Settings) -> Iterator[str]:
    lists = {"server.origins": settings.server.origins}
    lists |= {f"routes[{at}].origins": route.origins for at, route in enumerate(settings.routes)}
    for name, origins in lists.items():
        if ANY in origins:
            yield f'{name} = ["*"]: every page of the web may connect with what it gets hold of'
        for origin in origins:
            if _is_plain(origin):
                yield f"{name} names {origin}: whoever is on the way can change that page; https cannot be changed"


def _is_plain(url: str) -> bool:
    return url.startswith("http:") and not is_loopback(urlsplit(url).hostname or "")


def _tokens(settings: Settings) -> Iterator[str]:
    tokens = settings.tokens
    if tokens.access_ttl > _LONG_ACCESS:
        yield "tokens.access_ttl is over an hour: a stolen access token is good for that long"
    if tokens.ticket_ttl > _LONG_TICKET:
        yield "tokens.ticket_ttl is over five minutes: tickets stand in URLs, and a found one may still be unused"
    if tokens.refresh_grace > _LONG_GRACE:
        yield "tokens.refresh_grace is over a minute: so long a stolen refresh token is not noticed"
    if tokens.refresh_ttl > tokens.session_ttl:
        yield "tokens.refresh_ttl is over tokens.session_ttl: it never counts, since the session ends before"


def _issuers(settings: Settings) -> Iterator[str]:
    for at, issuer in enumerate(settings.issuers):
        if issuer.cookie and not any("cookie" in route.sources for route in settings.routes):
            yield f'issuers[{at}].cookie: no route has "cookie" in its sources, so nobody comes in by it'
        if issuer.kind != "http" and issuer.issuer is False:
            yield f"issuers[{at}].issuer = false: whoever has these keys, or answers at this address, is believed"
        if issuer.signs_in and issuer.takes_tokens and issuer.client_id in _names(issuer.audience):
            yield f"issuers[{at}].audience is its client_id: ID tokens are taken for access tokens here"
        if issuer.kind != "http" and issuer.audience is False:
            yield f"issuers[{at}].audience = false: tokens that were made for other services are accepted here"


def _rest(settings: Settings) -> Iterator[str]:
    passwords, address = settings.passwords, settings.admin.address
    if passwords.minimum_length < 15:
        yield "passwords.minimum_length is under 15: shorter ones are guessed (NIST SP 800-63B-4)"
    if passwords.maximum_length < 64:
        yield "passwords.maximum_length is under 64: it forbids good passphrases (NIST SP 800-63B-4)"
    if isinstance(address, tuple) and not is_loopback(address[0]):
        yield f"admin.listen = {settings.admin.listen!r}: other machines reach the admin API; a token is all it takes"


def _route(name: str, route: Route) -> Iterator[str]:
    for source, risk in _SOURCES.items():
        if source in route.sources:
            yield f'{name}.sources has "{source}": {risk}'
    if not seconds(route.max_connection_age, "max_connection_age"):
        yield f"{name}.max_connection_age is off: a connection that is renewed never ends"
    for key in ("max_message", "max_unauthenticated_message"):
        if not size(getattr(route, key), key):
            yield f"{name}.{key} is off: one client can fill the memory"
    if route.compression:
        yield (
            f"{name}.compression = true: max_message counts compressed bytes, so a small message may become a large "
            "one upstream, and the length of messages that hold a secret and a stranger's text tells of both (CRIME)"
        )
    if route.on_rights_change == "keep":
        yield f'{name}.on_rights_change = "keep": an upstream goes on to act by rights that were taken away'


def _upstreams(name: str, route: Route) -> Iterator[str]:
    plain = [each for each in route.upstreams if each.startswith("ws:") and is_remote(each)]
    if plain:
        yield (
            f"{name}.upstream = {', '.join(plain)}: whoever is on the way reads and changes messages, and from whom "
            "they are; wss:// cannot be changed"
        )


def _unproven(name: str, route: Route, algorithm: str) -> Iterator[str]:
    """Warn of upstreams that cannot tell us from anybody (ATTACKS GW-17)."""
    if route.assertion and algorithm == "HS256" and any(map(is_network, route.upstreams)):
        yield (
            f'{name}.assertion = true with tokens.algorithm = "HS256": none is sent, since nobody else could verify '
            "it; an upstream cannot tell us from anybody else who reaches it"
        )
    named = {each for each in route.upstreams if each.startswith("wss:")} if route.upstream_certificate else set()
    if not route.assertion and any(is_remote(each) for each in route.upstreams if each not in named):
        yield f"{name}.assertion = false: an upstream cannot tell us from anybody else who reaches it"


def _files(settings: Settings, file: Path | None) -> Iterator[str]:
    """Warn of files that others can use (ASVS 13.3.2)."""
    held = {
        "store.key_file": (settings.store.key_file, _OTHERS, "whoever reads it opens every secret in the store"),
        "store.url": (str(settings.store.path), _OTHERS, "it holds names and password hashes"),
        "server.tls_key": (settings.server.tls_key, _OTHERS, "whoever reads it can pose as this server"),
        **{
            f"routes[{at}].upstream_key": (route.upstream_key, _OTHERS, "whoever reads it can pose as this server")
            for at, route in enumerate(settings.routes)
        },
        "the configuration": (str(file or ""), _WRITERS, "whoever writes it decides who may come in"),
    }
    for name, (path, bits, risk) in held.items():
        if path and (open_to := _mode(Path(path)) & bits):
            verb = "write" if open_to & _WRITERS else "read"
            yield f"{name}: others can {verb} {path}: {risk}; chmod {'go-w' if bits == _WRITERS else '600'} mends it"


def _mode(file: Path) -> int:
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return 0


def _names(audience: str | tuple[str, ...] | bool) -> tuple[str, ...]:
    if isinstance(audience, bool):
        return ()
    return (audience,) if isinstance(audience, str) else audience
