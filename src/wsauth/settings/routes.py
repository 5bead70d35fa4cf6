"""`[[routes]]`: what holds on which path."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, StrictBool, StrictInt

from wsauth.core.credentials import SOURCES
from wsauth.core.routes import DEFAULT_SOURCES
from wsauth.settings.headers import Claims, Removed
from wsauth.settings.keys import (
    File,
    Kind,
    Names,
    NeededDuration,
    Pages,
    Table,
    WrittenDuration,
    WrittenNeededDuration,
    WrittenSize,
    key,
)
from wsauth.settings.upstreams import ECHO, Upstream, is_host

__all__ = ["Route"]

_PATH: Final = re.compile(r"/(?:[^*?#]*/)?\*|/[^*?#]*")
_REPLACEMENT: Final = re.compile(r"/[!\"$-)+->@-~]*", re.ASCII)
"""Visible ASCII but for `*`, `?` and `#`."""
_SERVERS_OWN: Final = frozenset(
    {
        "path",
        "upstream",
        "follow_session",
        "compression",
        "remove_headers",
        "forward_claims",
        "assertion",
        "upstream_ca",
        "upstream_certificate",
        "upstream_key",
        "upstream_host",
        "upstream_path",
        "upstream_timeout",
    }
)
"""Keys that are not handed on to a guard's Route."""


def _path(value: str) -> str:
    if not (value.isascii() and value.isprintable() and " " not in value and _PATH.fullmatch(value)):
        raise ValueError(f"path = {value!r} is not a path: write /exact, or a prefix that ends in /*")
    return value


def _sources(value: tuple[str, ...]) -> tuple[str, ...]:
    for entry in value:
        if entry not in SOURCES:
            raise ValueError(f"sources: unknown {entry!r}; known are {', '.join(SOURCES)}")
    return value


def _require(value: tuple[str, ...]) -> tuple[str, ...]:
    for entry in value:
        if "*" in entry:
            raise ValueError(f"require: {entry!r} is a pattern, and only roles have patterns; name a permission")
    return value


def _host(value: str) -> str:
    if value and not is_host(value):
        raise ValueError(f'upstream_host = {value!r} is no host: write upstream_host = "chat.example.com"')
    return value


def _replacement(value: str) -> str:
    if value and not _REPLACEMENT.fullmatch(value):
        raise ValueError(f'upstream_path = {value!r} is not a path: write upstream_path = "/chat"')
    return value


class Route(Table):
    """What holds on one path. Durations and sizes stay as written: a guard's Route reads them."""

    path: Annotated[str, AfterValidator(_path), Kind("path")] = key(
        "/ws", "One path, or with /* at the end everything below it. The longest match wins; compared as sent."
    )
    upstream: Upstream = key(
        ...,
        "Who answers behind: echo, asgi:package.module:app, ws://host:port, wss://host:port or unix:/path/to.sock, or "
        "a list of addresses, which the last three are. A path may follow the port, in a list one and the same; "
        "upstream_path says what it means. Must be written.",
        example=ECHO,
    )
    sources: Annotated[Names, AfterValidator(_sources)] = key(
        list(DEFAULT_SOURCES),
        'Where credentials may be. Only where asked for: "basic", "certificate" (needs tls_client_ca of [server]), '
        '"insecure_query", "insecure_bare_subprotocol".',
    )
    origins: Pages = key([], "Pages that may connect here, in place of those of [server]. Empty: those of [server].")
    require: Annotated[Names, AfterValidator(_require)] = key([], "Permissions needed to connect, all of them.")
    anonymous: StrictBool = key(
        False, "Let in whoever has no credentials, at once, as nobody, with the role anonymous."
    )
    subprotocols: Names = key(
        [], "The application's own; needed where we answer before the application does (credentials in a message)."
    )
    auth_timeout: WrittenNeededDuration = key("10s", "From the start of the connection to being authenticated.")
    auth_attempts: StrictInt = key(3, "Wrong credentials until the connection is closed.", ge=1)
    grace: WrittenDuration = key(
        "10s", "After the lease's end: how long it may still be renewed. Nothing passes in this time."
    )
    max_connection_age: WrittenDuration = key("24h", "No lease goes past this, counted from the connection's start.")
    follow_session: StrictBool = key(
        False, "A session's refresh also extends the leases that were opened with its access tokens."
    )
    on_rights_change: Literal["reconnect", "keep"] = key(
        "reconnect",
        "When rights are taken away that an upstream was told of. reconnect: the connection is closed and may come "
        "back with those that are left; keep: it goes on, and the upstream does not learn of it.",
    )
    compression: StrictBool = key(
        False,
        "permessage-deflate between client and upstream, where both want it; never for a client that offers wsauth.v1 "
        "or brings no credentials.",
    )
    max_message: WrittenSize = key("64KiB", "The largest message from a client.")
    max_unauthenticated_message: WrittenSize = key("16KiB", "The same before it has authenticated.")
    idle_timeout: WrittenDuration = key("", "Close after this time without a message in either direction.")
    message_rules: File = key(
        "", "A TOML file that says which messages a client may send, and as whom. Empty: all may pass."
    )
    remove_headers: Removed = key(
        ["X-User", "X-Forwarded-User", "Remote-User"],
        "Headers of the client that an upstream does not get, however they are spelled (case, _ for -); with * at the "
        "end, all that begin so. Credentials and X-Wsauth-* never pass.",
    )
    forward_claims: Claims = key(
        {},
        'Claims that an upstream gets as headers: {email = "X-Wsauth-Email", "address.country" = "X-Country"}. The '
        "client cannot send these itself.",
        example={"email": "X-Wsauth-Email"},
    )
    assertion: StrictBool = key(
        True,
        "Send X-Wsauth-Assertion, signed and good for a minute at most, by which an upstream knows that it is us. Not "
        'with algorithm = "HS256" in [tokens], which nobody else could verify.',
    )
    upstream_ca: File = key("", "Who vouches for wss:// upstreams, PEM. Empty: whom this machine trusts.")
    upstream_certificate: File = key("", "Our certificate and its chain for wss:// upstreams that ask for one, PEM.")
    upstream_key: File = key("", "The private key of upstream_certificate, PEM, without a passphrase.")
    upstream_host: Annotated[str, AfterValidator(_host), Kind("HOST or HOST:PORT")] = key(
        "", "The Host header that an upstream gets. Empty: the client's."
    )
    upstream_path: Annotated[str, AfterValidator(_replacement), Kind("path")] = key(
        "",
        "What stands in place of the path that matched, up to the * of a prefix. Empty: the path of the upstream's "
        "URL, and without one the path as it came.",
    )
    upstream_timeout: NeededDuration = key("5s", "How long connecting to one address may take.")
    certificate_subject: Literal["cn", "dns", "email", "uri"] = key(
        "cn",
        "What of a client certificate is the subject: cn, its common name; or dns, email, uri of its alternative "
        "names. The issuer is the name of the authority.",
    )
    refusals: Literal["auto", "http", "close"] = key(
        "auto",
        "How a handshake is refused. auto: over the socket where a browser would not see why; http: always by HTTP "
        "status; close: as auto, also where there is no Origin.",
    )

    @property
    def upstreams(self) -> tuple[str, ...]:
        """What is written as `upstream`, as a list."""
        return (self.upstream,) if isinstance(self.upstream, str) else self.upstream

    def policy(self) -> dict[str, Any]:
        """Return the keys that a guard's Route takes, but for `origins`, which [server] has a say in."""
        return self.model_dump(exclude={*_SERVERS_OWN, "origins"})
