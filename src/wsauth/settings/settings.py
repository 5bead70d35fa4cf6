"""The whole configuration, and what follows from it."""

from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from wsauth.core.origins import Origins
from wsauth.core.routes import Policy
from wsauth.core.routes import Routes as _Routes
from wsauth.settings.admin import Admin
from wsauth.settings.issuers import Issuer
from wsauth.settings.keys import Kind, Table, key
from wsauth.settings.limits import Limits
from wsauth.settings.login import Login
from wsauth.settings.monitoring import Monitoring
from wsauth.settings.passwords import Passwords
from wsauth.settings.roles import Roles
from wsauth.settings.routes import Route
from wsauth.settings.server import Server, is_loopback, is_wildcard
from wsauth.settings.store import Store
from wsauth.settings.tokens import Tokens
from wsauth.settings.upstreams import ECHO

__all__ = ["DEFAULT_ROUTES", "Settings"]

DEFAULT_ROUTES: Final[list[dict[str, Any]]] = [{"path": "/ws", "upstream": ECHO}]
"""What is served where no route is written."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def _distinct(value: tuple[Route, ...]) -> tuple[Route, ...]:
    nobody = Origins(())
    policies = [Policy(path=route.path, origins=nobody) for route in value]
    _Routes(policies, Policy(path="", origins=nobody))
    return value


def _table(factory: type[Table], meaning: str) -> Any:
    return Field(default_factory=factory, description=meaning)


class Settings(Table):
    """The configuration: a field for each table, in the order in which they are documented.

    Where a method takes `port`, it is the one that is listened on, for `server.port = 0`.
    """

    server: Server = _table(Server, "What listens, under which name, and who may come.")
    store: Store = _table(Store, "Where users, sessions and keys are kept.")
    tokens: Tokens = _table(Tokens, "What wsauth itself issues.")
    issuers: Annotated[tuple[Issuer, ...], Kind("list of tables")] = key(
        (), "Somebody else's logins; any number of them. What each key is for stands in how-to/issuers."
    )
    roles: Roles = Field(
        default_factory=dict,
        description='Role -> permissions. "*" stands for one segment, "**" for the rest. What begins with wsauth: '
        "comes only from a local user's grants.",
        examples=[{"member": ["chat:*:read"]}],
    )
    routes: Annotated[tuple[Route, ...], AfterValidator(_distinct), Kind("list of tables")] = key(
        DEFAULT_ROUTES,
        "What holds on which path; any number of them. Without one, /ws is served by the built-in echo.",
    )
    limits: Limits = _table(Limits, "How often and how many, by address and by identity.")
    login: Login = _table(Login, "How people sign in.")
    passwords: Passwords = _table(Passwords, "What a new password must be (NIST SP 800-63B-4, ASVS 6.2).")
    monitoring: Monitoring = _table(Monitoring, "What is written down of what happens.")
    admin: Admin = _table(Admin, "The admin API, on a listener of its own, whatever workers is.")

    def public_url(self, port: int | None = None) -> str:
        """Return the address that people use, without a path and without the scheme's own port."""
        if self.server.public_url:
            url = urlsplit(self.server.public_url)
            return _origin(url.scheme, url.hostname or "", url.port or _DEFAULT_PORTS[url.scheme])
        host = "127.0.0.1" if is_wildcard(self.server.host) else self.server.host
        return _origin("https" if self.server.tls else "http", host, self.server.port if port is None else port)

    def own_origins(self, port: int | None = None) -> tuple[str, ...]:
        """Return the origins of our own pages: public_url's, and on loopback the same by every loopback name."""
        url = urlsplit(self.public_url(port))
        host, at = url.hostname or "", url.port or _DEFAULT_PORTS[url.scheme]
        names = dict.fromkeys((host, *_LOOPBACK)) if is_loopback(host) else (host,)
        return tuple(_origin(url.scheme, name, at) for name in names)

    def origins(self, route: Route | None = None, port: int | None = None) -> tuple[str, ...]:
        """Return the pages that may connect on a route; without one, those that may use the HTTP API."""
        if route is not None and route.origins:
            return route.origins
        return tuple(dict.fromkeys((*self.own_origins(port), *self.server.origins)))

    def allowed_hosts(self, port: int | None = None) -> frozenset[str]:
        """Return the names that are answered, in lower case, without port and without an address's brackets."""
        if self.server.allowed_hosts:
            return frozenset(self.server.allowed_hosts)
        here = is_loopback(self.server.host) or is_wildcard(self.server.host)
        return frozenset({urlsplit(self.public_url(port)).hostname or "", *(_LOOPBACK if here else ())})

    def issuer(self, port: int | None = None) -> str:
        """Return the issuer of our own tokens."""
        return self.tokens.issuer or self.public_url(port)

    @property
    def takes_cookies(self) -> bool:
        """Whether a route takes the session cookie."""
        return any("cookie" in route.sources for route in self.routes)

    def dump(self) -> str:
        """Return everything as JSON, secrets included, for the standard input of a worker."""
        return self.model_dump_json()

    @classmethod
    def restore(cls, text: str) -> Self:
        """Return what `dump` wrote."""
        return cls.model_validate_json(text)


def _origin(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://{name}:{port}"
