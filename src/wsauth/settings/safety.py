"""What is refused at start: combinations of keys that no deployment can mean."""

import ssl
from collections.abc import Iterator

from wsauth.core.feed import KEPT
from wsauth.core.origins import ANY
from wsauth.settings.server import Server, is_loopback
from wsauth.settings.settings import Settings
from wsauth.settings.sources import Problem

__all__ = ["refuse"]


def refuse(settings: Settings) -> None:
    """Refuse what is unsafe or cannot work, whoever wants it.

    Raises:
        Problem: the first of them.
    """
    for check in (_tls, _exposed, _admin, _origins, _passwords, _tokens):
        for found in check(settings):
            raise found


def _tls(settings: Settings) -> Iterator[Problem]:
    server = settings.server
    pair = {"tls_certificate": server.tls_certificate, "tls_key": server.tls_key}
    given = [name for name, file in pair.items() if file]
    if len(given) == 1:
        other = next(name for name in pair if name not in given)
        yield Problem(("server", given[0]), f"server.{given[0]} has no server.{other}: write both or none")
    for name in given:
        try:
            with open(pair[name], "rb"):
                pass
        except OSError as error:
            text = f"server.{name}: {pair[name]}: {error.strerror}; name a PEM file that can be read"
            yield Problem(("server", name), text)
    if given and not _fit(server):
        yield Problem(
            ("server", "tls_key"),
            "server.tls_certificate and server.tls_key are no pair of PEM files without a passphrase; name the key of "
            "that certificate",
        )


def _fit(server: Server) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            server.tls_certificate, server.tls_key, password=lambda: ""
        )
    except (ssl.SSLError, ValueError):
        return False
    return True


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
