"""A guard as a configuration says."""

import os
from ipaddress import ip_network
from math import inf
from pathlib import Path
from typing import Any

from wsauth.core.feed import KEPT
from wsauth.core.lockout import Policy
from wsauth.core.sessions import Limits
from wsauth.core.throttling import rate
from wsauth.guard.backend import Backend
from wsauth.guard.guard import Guard
from wsauth.guard.issuers import verifiers_of
from wsauth.guard.local import LocalKeys
from wsauth.guard.providers import providers_of
from wsauth.guard.route import Route
from wsauth.interfaces.clock import Clock
from wsauth.services.clock import SystemClock
from wsauth.services.throttling import Allowances
from wsauth.services.users import PasswordRules
from wsauth.settings import Settings, load

__all__ = ["backend_of", "guard_of", "guard_of_file"]


def guard_of_file(path: Path) -> Guard:
    """Return the guard of an application that stands beside `wsauth serve`, by the same file."""
    settings = load(path, os.environ)
    return guard_of(settings, backend_of(settings), closed=False)


def backend_of(
    settings: Settings, *, port: int | None = None, clock: Clock | None = None, follows: bool = True
) -> Backend:
    """Return the store of a configuration, with our own users.

    Args:
        settings: the configuration.
        port: that is listened on, where the configuration leaves it open.
        clock: for tests.
        follows: this process serves; a command does not.
    """
    tokens = settings.tokens
    backend = Backend(
        settings.store.url,
        settings.store.key_file,
        clock or SystemClock(),
        feed_timeout=settings.store.feed_timeout,
        on_feed_loss=settings.store.on_feed_loss,
        follows=follows,
        kept=_kept(settings),
        leeway=max((issuer.leeway for issuer in settings.issuers), default=0.0),
        audit_log=settings.monitoring.audit_log,
        audit_retention=settings.monitoring.audit_retention,
    )
    limits = Limits(
        access=tokens.access_ttl, idle=tokens.refresh_ttl, absolute=tokens.session_ttl, grace=tokens.refresh_grace
    )
    rules = PasswordRules(
        minimum_length=settings.passwords.minimum_length,
        maximum_length=settings.passwords.maximum_length,
        require_classes=settings.passwords.require_classes,
        minimum_strength=settings.passwords.minimum_strength,
    )
    keys = LocalKeys(
        issuer=settings.issuer(port),
        audience=tokens.audience,
        algorithm=tokens.algorithm,
        secure=settings.public_url(port).startswith("https://"),
        rules=rules,
        lockout=Policy(
            rate=rate(settings.limits.login_failures_per_address, "limits.login_failures_per_address"),
            after=settings.passwords.lockout_after,
            lasts=settings.passwords.lockout_for,
        ),
        exempt=tuple(ip_network(each) for each in settings.limits.exempt),
        block_after=rate(settings.monitoring.block_after, "monitoring.block_after"),
        block_for=settings.monitoring.block_for,
    )
    backend.serve_users(keys, limits, providers_of(settings, backend.clock))
    return backend


def _kept(settings: Settings) -> float:
    """Return how long a revocation must be kept: as long as what others issued may live."""
    lives = [issuer.max_ttl + 2 * issuer.leeway if issuer.max_ttl else inf for issuer in settings.issuers]
    # A certificate lives as long as its authority says.
    return inf if settings.server.tls_client_ca else max(KEPT, *lives) if lives else KEPT


def guard_of(settings: Settings, backend: Backend, *, port: int | None = None, closed: bool = True) -> Guard:
    """Return the guard of a configuration; `closed`: there are its routes and no other paths."""
    routes = [Route(route.path, **_keys(settings, route, port)) for route in settings.routes]
    return Guard(
        verifiers=verifiers_of(settings, backend.clock),
        origins=settings.origins(port=port),
        routes=routes,
        roles=settings.roles,
        store=backend,
        access_ttl=settings.tokens.access_ttl,
        ticket_ttl=settings.tokens.ticket_ttl,
        allowances=_allowances(settings),
        closed=closed,
        actions=settings.monitoring.actions,
        webhooks=[hook.webhook() for hook in settings.monitoring.webhooks],
    )


def _allowances(settings: Settings) -> Allowances:
    limits = settings.limits
    return Allowances(
        auth_failures=rate(limits.auth_failures_per_address, "limits.auth_failures_per_address"),
        connects=rate(limits.connect_per_address, "limits.connect_per_address"),
        unauthenticated_per_address=limits.unauthenticated_per_address,
        unauthenticated=limits.unauthenticated_connections,
        per_identity=limits.connections_per_identity,
        messages=rate(limits.messages_per_connection, "limits.messages_per_connection"),
        exempt=tuple(ip_network(each) for each in limits.exempt),
    )


def _keys(settings: Settings, route: Any, port: int | None) -> dict[str, Any]:
    return {**route.policy(), "origins": settings.origins(route, port), "follow_session": route.follow_session}
