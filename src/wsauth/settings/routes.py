"""`[[routes]]`: what holds on which path."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, StrictBool, StrictInt

from wsauth.core.credentials import SOURCES
from wsauth.core.routes import DEFAULT_SOURCES
from wsauth.settings.keys import (
    Kind,
    Names,
    Pages,
    Table,
    WrittenDuration,
    WrittenNeededDuration,
    WrittenSize,
    key,
)

__all__ = ["ECHO", "Route"]

ECHO: Final = "echo"
_ASGI: Final = re.compile(r"asgi:[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_PATH: Final = re.compile(r"/(?:[^*?#]*/)?\*|/[^*?#]*")
_SERVERS_OWN: Final = frozenset({"path", "upstream", "follow_session"})


def _path(value: str) -> str:
    if not (value.isascii() and value.isprintable() and " " not in value and _PATH.fullmatch(value)):
        raise ValueError(f"path = {value!r} is not a path: write /exact, or a prefix that ends in /*")
    return value


def _upstream(value: str) -> str:
    if value != ECHO and not _ASGI.fullmatch(value):
        raise ValueError('upstream is neither "echo" nor an application: write upstream = "asgi:package.module:app"')
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


class Route(Table):
    """What holds on one path. Durations and sizes stay as written: a guard's Route reads them."""

    path: Annotated[str, AfterValidator(_path), Kind("path")] = key(
        "/ws", "One path, or with /* at the end everything below it. The longest match wins; compared as sent."
    )
    upstream: Annotated[str, AfterValidator(_upstream), Kind("upstream")] = key(
        ..., "Who answers behind: echo, or asgi:package.module:app. Must be written.", example=ECHO
    )
    sources: Annotated[Names, AfterValidator(_sources)] = key(
        list(DEFAULT_SOURCES),
        'Where credentials may be. Only where asked for: "basic", "insecure_query", "insecure_bare_subprotocol".',
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
    max_message: WrittenSize = key("64KiB", "The largest message from a client.")
    max_unauthenticated_message: WrittenSize = key("16KiB", "The same before it has authenticated.")
    idle_timeout: WrittenDuration = key("", "Close after this time without a message in either direction.")
    refusals: Literal["auto", "http", "close"] = key(
        "auto",
        "How a handshake is refused. auto: over the socket where a browser would not see why; http: always by HTTP "
        "status; close: as auto, also where there is no Origin.",
    )

    def policy(self) -> dict[str, Any]:
        """Return the keys that a guard's Route takes, but for `origins`, which [server] has a say in."""
        return self.model_dump(exclude={*_SERVERS_OWN, "origins"})
