"""What is refused at start: combinations of keys that no deployment can mean."""

import ssl
from collections.abc import Iterator
from typing import Final

from wsauth.core.feed import KEPT
from wsauth.core.origins import ANY
from wsauth.settings.server import is_loopback
from wsauth.settings.settings import Settings
from wsauth.settings.sources import Place, Problem, dotted
from wsauth.settings.upstreams import path_of

__all__ = ["refuse"]

_UNWRITTEN: Final = {
    "jwt": ("issuer", "audience"),
    "introspection": ("issuer", "audience", "url", "client_id", "client_secret"),
    "http": ("url",),
}
"""Kind of an issuer -> the keys without which there is none."""


def refuse(settings: Settings) -> None:
    """Refuse what is unsafe or cannot work, whoever wants it.

    Raises:
        Problem: the first of them.
    """
    for check in (_tls, _exposed, _admin, _origins, _certificates, _issuers, _upstreams, _passwords, _tokens):
        for found in check(settings):
            raise found


def _tls(settings: Settings) -> Iterator[Problem]:
    server = settings.server
    yield from _pair(("server",), tls_certificate=server.tls_certificate, tls_key=server.tls_key)
    if server.tls_client_ca:
        place = ("server", "tls_client_ca")
        if not server.tls:
            yield Problem(
                place,
                "server.tls_client_ca asks for certificates, which takes TLS: write server.tls_certificate and "
                "server.tls_key too",
            )
        yield from _authority(place, server.tls_client_ca)


def _pair(outer: Place, **pair: str) -> Iterator[Problem]:
    """Refuse a certificate without its key, files that cannot be read, and two that do not fit."""
    places: list[Place] = [(*outer, name) for name in pair]
    names = [dotted(place) for place in places]
    given = [(place, file) for place, file in zip(places, pair.values(), strict=True) if file]
    if len(given) == 1:
        place, _ = given[0]
        other = next(name for name in names if name != dotted(place))
        yield Problem(place, f"{dotted(place)} has no {other}: write both or none")
    for place, file in given:
        yield from _unreadable(place, file)
    if given and not _fit(*pair.values()):
        text = " and ".join(names) + " are no pair of PEM files without a passphrase; name the key of that certificate"
        yield Problem(places[-1], text)


def _fit(certificate: str, key: str) -> bool:
    try:
        # Without a password OpenSSL would ask the terminal for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError):
        return False
    return True


def _authority(place: Place, file: str) -> Iterator[Problem]:
    """Refuse a file that does not say whom to trust."""
    yield from _unreadable(place, file)
    if not _vouches(file):
        yield Problem(place, f"{dotted(place)}: {file} holds no certificate in PEM; name a file of the authority's")


def _vouches(file: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        return False
    return context.cert_store_stats()["x509"] > 0


def _unreadable(place: Place, file: str) -> Iterator[Problem]:
    try:
        with open(file, "rb"):
            pass
    except OSError as error:
        yield Problem(place, f"{dotted(place)}: {file}: {error.strerror}; name a PEM file that can be read")


def _exposed(settings: Settings) -> Iterator[Problem]:
    server = settings.server
    if not (is_loopback(server.host) or server.tls or server.insecure_plaintext or server.trusted_proxies):
        yield Problem(
            ("server", "host"),
            f'server.host = "{server.host}" is reached by other machines, in plain text: write tls_certificate and '
            "tls_key, or trusted_proxies where a proxy ends TLS, or insecure_plaintext = true",
        )


def _admin(settings: Settings) -> Iterator[Problem]:
    address, server = settings.admin.address, settings.server
    if isinstance(address, tuple) and not (is_loopback(address[0]) or server.tls or server.insecure_plaintext):
        yield Problem(
            ("admin", "listen"),
            f'admin.listen = "{settings.admin.listen}" is reached by other machines, in plain text: write '
            'listen = "127.0.0.1:8081", or server.tls_certificate and server.tls_key',
        )


def _origins(settings: Settings) -> Iterator[Problem]:
    """Refuse that every page may use its visitors' cookies (ASVS 4.4.2)."""
    for at, route in enumerate(settings.routes):
        if "cookie" in route.sources and ANY in settings.origins(route):
            place = ("routes", at, "origins") if route.origins else ("server", "origins")
            name = f"routes[{at}].origins" if route.origins else "server.origins"
            yield Problem(
                place,
                f'{name} = ["*"] lets every page use its visitors\' logins at {route.path}: name the pages, or leave '
                f'"cookie" out of routes[{at}].sources',
            )


def _certificates(settings: Settings) -> Iterator[Problem]:
    for at, route in enumerate(settings.routes):
        if "certificate" in route.sources and not settings.server.tls_client_ca:
            yield Problem(
                ("routes", at, "sources"),
                f'routes[{at}].sources has "certificate", and nobody is asked for one: write server.tls_client_ca, or '
                'leave "certificate" out',
            )


def _issuers(settings: Settings) -> Iterator[Problem]:
    names: set[str] = set()
    providers: set[str | bool] = set()
    for at, issuer in enumerate(settings.issuers):
        place: Place = ("issuers", at)
        if issuer.named in names:
            yield Problem((*place, "name"), f"{dotted(place)}.name: there is another {issuer.named!r}; write a name")
        names.add(issuer.named)
        for key in _UNWRITTEN[issuer.kind] if issuer.takes_tokens else ():
            if not getattr(issuer, key) and getattr(issuer, key) is not False:
                off = ", or false, which does not check it" if key in ("issuer", "audience") else ""
                text = f"{dotted((*place, key))} is missing; kind {issuer.kind!r} needs it: write it{off}"
                yield Problem((*place, key), text)
        if issuer.kind == "jwt" and issuer.client_id and issuer.takes_tokens and not issuer.issuer:
            yield Problem((*place, "client_id"), f"{dotted(place)}.client_id needs an issuer that is checked: write it")
        if issuer.signs_in and issuer.kind == "http":
            text = f'{dotted(place)}.sign_in: kind "http" asks your own backend, where people sign in; remove it'
            yield Problem((*place, "sign_in"), text)
        if issuer.signs_in and (whose := issuer.issuer or issuer.named) in providers:
            text = f"{dotted(place)}: people sign in with {whose} by another entry; write sign_in = false in one"
            yield Problem((*place, "sign_in"), text)
        elif issuer.signs_in:
            providers.add(whose)
        for key in issuer.unread:
            text = f"{dotted((*place, key))} is not read where kind is {issuer.kind!r}, and protects nothing; remove it"
            yield Problem((*place, key), text)


def _upstreams(settings: Settings) -> Iterator[Problem]:
    for at, route in enumerate(settings.routes):
        place: Place = ("routes", at)
        for name in ("upstream_ca", "upstream_certificate", "upstream_key"):
            if getattr(route, name) and not any(each.startswith("wss://") for each in route.upstreams):
                text = f"{dotted((*place, name))} is for wss:// upstreams, of which there is none here: remove it"
                yield Problem((*place, name), text)
        if route.upstream_path and any(map(path_of, route.upstreams)):
            text = f"routes[{at}].upstream_path stands beside a path in routes[{at}].upstream: write one of them"
            yield Problem((*place, "upstream_path"), text)
        if route.upstream_ca:
            yield from _authority((*place, "upstream_ca"), route.upstream_ca)
        yield from _pair(place, upstream_certificate=route.upstream_certificate, upstream_key=route.upstream_key)


def _passwords(settings: Settings) -> Iterator[Problem]:
    passwords = settings.passwords
    if passwords.maximum_length < passwords.minimum_length:
        yield Problem(
            ("passwords", "maximum_length"),
            "passwords.maximum_length is under passwords.minimum_length: write maximum_length = 256",
        )


def _tokens(settings: Settings) -> Iterator[Problem]:
    """Refuse what would outlive its own revocation."""
    for name in ("access_ttl", "ticket_ttl"):
        if getattr(settings.tokens, name) > KEPT:
            yield Problem(
                ("tokens", name),
                f"tokens.{name} is over 24h, for which a revocation is kept: write {name} = '24h' or less",
            )
