"""What `wsauth serve` runs, as the processes see it: a factory that each imports, an application that it builds.

A worker is another process, so a factory is named (`package.module:name`) and the settings travel as JSON text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from wsauth.errors import ConfigurationError
from wsauth.guard import Guard
from wsauth.integrations.asgi.types import App
from wsauth.services.connections.connection import Connection
from wsauth.settings import Settings

__all__ = ["Application", "Factory", "Urls", "imported"]


@dataclass(frozen=True, slots=True)
class Urls:
    """Say what is served where.

    Attributes:
        public: `http://127.0.0.1:8080`.
        admin: `http://127.0.0.1:8081`, `unix:/run/wsauth.sock`, or empty where there is none.
    """

    public: str
    admin: str


class Application(Protocol):
    """Be the control plane in one process."""

    @property
    def public(self) -> App:
        """Answer HTTP requests of everybody; no lifespan."""

    @property
    def admin(self) -> App:
        """Answer the admin listener's HTTP requests."""

    @property
    def guard(self) -> Guard:
        """Decide about WebSockets, all of which go through the gateway."""

    @property
    def applications(self) -> Mapping[str, App]:
        """Answer WebSockets behind the gateway: the routes' upstreams that are applications, by their names."""

    def assertion(self, connection: Connection, audience: str) -> str | None:
        """Return what tells an upstream, by its URL, who a connection is; `None` where nothing can."""

    async def start(self) -> None:
        """Get ready, the feed read: nothing is accepted before this returns."""

    async def drain(self, within: float) -> None:
        """Close every socket, spread over this many seconds, and return when they are closed."""

    async def aclose(self) -> None:
        """Let go of everything."""


class Factory(Protocol):
    """Make applications; named `package.module:name`."""

    def prepare(self, settings: Settings) -> list[str]:
        """Do what is done once, before any process serves: migrations, key file, first user; return lines to print."""

    def build(self, settings: Settings, urls: Urls) -> Application:
        """Return the application of this process."""


def imported(name: str) -> Factory:
    """Return the factory of this name.

    Raises:
        ConfigurationError: there is none.
    """
    module, _, attribute = name.partition(":")
    try:
        return cast("Factory", getattr(import_module(module), attribute))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"nothing can be served: {name!r} cannot be imported: {error}") from error
