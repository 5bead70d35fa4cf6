"""Every gateway that is measured, by its name."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import trustme

from benchmarks.gateway.credentials import Own
from benchmarks.gateway.haproxy import haproxy
from benchmarks.gateway.nginx import nginx
from benchmarks.gateway.process import Gateway
from benchmarks.gateway.wsauth import wsauth


@dataclass(frozen=True, slots=True)
class Ground:
    """What a gateway stands on.

    Attributes:
        folder: for its files.
        backend: the port of what is behind it.
        own: the store with our own users.
        certificate: with its key, for TLS.
    """

    folder: Path
    backend: int
    own: Own
    certificate: Path


@dataclass(frozen=True, slots=True)
class Stack:
    """A gateway: what it is called in tables, and how it is started."""

    title: str
    start: Callable[[Ground], AbstractContextManager[Gateway]]


STACKS = {
    "nginx": Stack("nginx, no auth", lambda at: nginx(at.folder, at.backend)),
    "nginx_fastapi": Stack(
        "nginx `auth_request` → FastAPI + PyJWT", lambda at: nginx(at.folder, at.backend, "fastapi")
    ),
    "nginx_small": Stack(
        "nginx `auth_request` → small uvloop server", lambda at: nginx(at.folder, at.backend, "small")
    ),
    "haproxy": Stack("HAProxy, no auth", lambda at: haproxy(at.folder, at.backend)),
    "haproxy_jwt": Stack("HAProxy `jwt_verify`", lambda at: haproxy(at.folder, at.backend, "jwt")),
    "haproxy_claims": Stack(
        "HAProxy `jwt_verify`, issuer, audience and end", lambda at: haproxy(at.folder, at.backend, "claims")
    ),
    "haproxy_tls": Stack("HAProxy `jwt_verify`, TLS", lambda at: haproxy(at.folder, at.backend, "jwt", at.certificate)),
    "wsauth": Stack("wsauth, compiled", lambda at: wsauth(at.folder, at.backend)),
    "wsauth_door": Stack(
        "wsauth, default limits, audit log and metrics", lambda at: wsauth(at.folder, at.backend, door="default")
    ),
    "wsauth_bare": Stack(
        "wsauth, no address counted, no audit log", lambda at: wsauth(at.folder, at.backend, door="bare")
    ),
    "wsauth_python": Stack("wsauth, plain Python", lambda at: wsauth(at.folder, at.backend, "python")),
    "wsauth_default": Stack("wsauth, EdDSA and assertion", lambda at: wsauth(at.folder, at.backend, own=at.own.folder)),
    "wsauth_tls": Stack("wsauth, TLS", lambda at: wsauth(at.folder, at.backend, certificate=at.certificate)),
}


def make_certificate(path: Path) -> Path:
    """Write a certificate for loopback with its key, and beside it, as ca.pem, who vouches for it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(path.with_name("ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    path.chmod(0o600)
    return path
