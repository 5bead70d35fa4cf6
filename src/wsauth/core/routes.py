"""Which rules hold for which path. The path is compared as sent; the longest match wins."""

from collections.abc import Iterable
from math import inf
from typing import Final, Literal

import msgspec

from wsauth.core.certificates import CertificateSubject
from wsauth.core.credentials import Source
from wsauth.core.head import check_target
from wsauth.core.origins import Origins
from wsauth.core.paths import meanings
from wsauth.core.rules.rules import Rules
from wsauth.core.tokens.envelope import shown
from wsauth.errors import ConfigurationError, Refused

__all__ = ["DEFAULT_SOURCES", "NOWHERE", "OnRightsChange", "Policy", "Refusals", "Routes"]

Refusals = Literal["auto", "http", "close"]
OnRightsChange = Literal["reconnect", "keep"]
DEFAULT_SOURCES: Final[tuple[Source, ...]] = ("header", "cookie", "ticket", "subprotocol", "message")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one route's rules. Times in seconds, sizes in bytes; `inf` is no limit.

    Attributes:
        path: exact, or a prefix that ends in `/*`.
        sources: where credentials may be found.
        origins: pages that may connect.
        require: permissions needed to connect.
        anonymous: whether nobody may connect.
        subprotocols: the application's own, needed where we answer before the application (in-band).
        auth_timeout: from the handshake to being authenticated, and for one verification.
        auth_attempts: wrong credentials and stray messages that are forgiven, but for the last.
        grace: after the lease's end, in which it may still be renewed.
        max_connection_age: no lease ends later.
        max_message: of a message from the client.
        max_unauthenticated_message: the same before it is authenticated.
        idle_timeout: without a message in either direction.
        refusals: `auto`, `http` or `close`.
        access_ttl: the lease of a ticket, a password, our own session cookie or an API key.
        follow_session: a session's refresh also extends leases that were opened with an access token.
        on_rights_change: when rights that what is behind was told of are taken away: `reconnect` closes, since an
            upstream reads them once, at the handshake; `keep` tells, as an application asks anew each time.
        certificate_subject: what of a client certificate is the subject.
        rules: judge each message of the client; `None`: all may pass.
    """

    path: str
    origins: Origins
    sources: frozenset[str] = frozenset(DEFAULT_SOURCES)
    require: tuple[str, ...] = ()
    anonymous: bool = False
    subprotocols: tuple[str, ...] = ()
    auth_timeout: float = 10.0
    auth_attempts: int = 3
    grace: float = 10.0
    max_connection_age: float = 86_400.0
    max_message: int = 65_536
    max_unauthenticated_message: int = 16_384
    idle_timeout: float = inf
    refusals: Refusals = "auto"
    access_ttl: float = 300.0
    follow_session: bool = False
    on_rights_change: OnRightsChange = "keep"
    certificate_subject: CertificateSubject = "cn"
    rules: Rules | None = None


NOWHERE: Final = Policy(path="", origins=Origins([]))
"""The policy of a path at which there is nothing."""


class Routes:
    """Hold the policies of all paths.

    Args:
        policies: one for each route.
        default: for a path that no route names; `None` where there is nothing at such a path.
    """

    __slots__ = ("_default", "_exact", "_prefixes")

    def __init__(self, policies: Iterable[Policy], default: Policy | None) -> None:
        self._default = NOWHERE if default is None else default
        self._exact: dict[str, Policy] = {}
        prefixes: dict[str, Policy] = {}
        for policy in policies:
            table, path = (prefixes, policy.path[:-1]) if policy.path.endswith("/*") else (self._exact, policy.path)
            if not path.startswith("/") or "*" in path:
                raise ConfigurationError(
                    f"routes: {policy.path!r} is not a path; write /exact, or a prefix that ends in /*"
                )
            if path in table:
                raise ConfigurationError(f"routes: {policy.path!r} stands there twice")
            table[path] = policy
        self._prefixes = sorted(prefixes.items(), key=lambda item: len(item[0]), reverse=True)

    def find(self, path: str) -> Policy:
        """Return the policy of the longest match."""
        policy = self._exact.get(path)
        if policy is not None:
            return policy
        for prefix, candidate in self._prefixes:
            if path.startswith(prefix):
                return candidate
        return self._default

    def check(self, path: str, policy: Policy, decoded: str | None = None) -> None:
        """Check that a path can only mean the route that was found for it.

        Args:
            path: as sent, without the query.
            policy: what `find` returned for it.
            decoded: the path as a server decoded it; `None` where none did.

        Raises:
            Refused: `not_found`, or `request_invalid` where it is no path, or may mean another route to what is behind.
        """
        check_target(path)
        if policy is NOWHERE:
            raise Refused("not_found", f"there is no route at {shown(path)}", mend="[[routes]] path")
        for meant in meanings(path, decoded):
            if self.find(meant) is not policy:
                raise Refused("request_invalid", "the path may mean another route to what is behind")
