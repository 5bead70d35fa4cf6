"""HTTP requests beside the sockets: the same credentials, the same identity, permissions and revocations.

A request is never answered here. Without good credentials it is nobody's, and why is kept for
`wsauth.integrations.fastapi.identity`, which answers 401 or 403.
"""

from collections.abc import Mapping

from wsauth.core.cookies import cut_cookies, device_in
from wsauth.core.credentials import Credentials
from wsauth.core.handshake import authorization, check_private
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.origins import Origins
from wsauth.core.permissions import Permissions
from wsauth.errors import PermissionDenied, Refused
from wsauth.integrations.asgi.request import is_private
from wsauth.integrations.asgi.types import Scope

__all__ = ["Request", "is_question", "read_credentials"]

_READ = frozenset({b"authorization", b"cookie", b"origin", b"x-csrf-token"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Request:
    """Be who an HTTP request is from: `scope["wsauth"]`.

    Attributes:
        identity: who; nobody without good credentials.
        permissions: what they may do.
        refused: why presented credentials were not good, or that there were none.
        changing: somebody who may choose another password, or log out, and nothing else until then.
    """

    __slots__ = ("changing", "identity", "permissions", "refused")

    def __init__(
        self,
        identity: Identity,
        permissions: Permissions,
        refused: Refused | None,
        *,
        changing: Identity | None = None,
    ) -> None:
        self.identity = identity
        self.changing = changing
        self.permissions = permissions
        self.refused = refused

    def require(self, *names: str) -> Identity:
        """Return who it is.

        Raises:
            Refused: nobody, with the reason; or `permission_denied`.
        """
        if self.identity is NOBODY:
            raise self.refused or Refused("credentials_missing", "nothing was presented")
        for name in names:
            if not self.permissions.allow(name):
                raise PermissionDenied(name)
        return self.identity


def is_question(scope: Scope, questions: frozenset[tuple[str, str]]) -> bool:
    """Tell whether a request goes where a verifier asks about credentials.

    Those that it carries are the ones that are asked about: who asked again would wait for itself.
    """
    hosts = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
    return any((host, scope["path"]) in questions for host in hosts)


def read_credentials(scope: Scope, cookies: frozenset[str], origins: Origins) -> Credentials | None:
    """Return what an HTTP request presents: Authorization, or a cookie that proves where it came from.

    Raises:
        Refused: it is malformed, or a cookie came with a request that another site may have made.
    """
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            if name in found and name != b"cookie":
                raise Refused("request_invalid", f"the header {name.decode()} came more than once")
            found[name] = found[name] + b"; " + value if name in found else value
    if b"authorization" in found:
        credentials = authorization(found[b"authorization"].decode("latin-1").strip(" \t"))
        if credentials.kind == "password":
            check_private(is_private(scope))
            credentials.device = device_in(found.get(b"cookie", b"").decode("latin-1"))
        return credentials
    if b"cookie" not in found or not cookies:
        return None
    taken, _ = cut_cookies(found[b"cookie"].decode("latin-1"), cookies)
    if not taken:
        return None
    if len(taken) > 1:
        raise Refused("request_invalid", "the credential's cookie came more than once")
    changes = scope["method"] not in _SAFE
    _check_origin(changes, found, origins)
    name, value = taken[0]
    proof = found.get(b"x-csrf-token", b"").decode("latin-1") if changes else None
    return Credentials("token", value, source="cookie", cookie=name, proof=proof)


def _check_origin(changes: bool, found: Mapping[bytes, bytes], origins: Origins) -> None:
    """A cookie is sent by any page's doing: what changes something needs an allowed Origin (ASVS 3.5.1)."""
    origin = found.get(b"origin", b"").decode("latin-1")
    if origin and not origins.allow(origin):
        raise Refused("origin_denied", "a cookie came from a page that is not allowed", mend="origins = [...]")
    if changes and not origin:
        raise Refused("csrf_failed", "a cookie came with a change but without an Origin")
