"""What goes upstream: a client's handshake without what it may not say, and with what we say (CONTRACT section 8).

What the client sent is taken away first and ours is added then, so that nothing of a client, not even a `Connection`
that names one of our headers, takes one of ours away (RFC 9110 section 7.6.1).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wsauth.core.extensions import NONE, Offers
from wsauth.core.fields import Field, tokens
from wsauth.core.forwarded import IDENTITY_HEADERS, LIMIT, encoded, identity_headers, listed
from wsauth.core.handshake import Handshake
from wsauth.core.identity import Identity
from wsauth.core.peers import Client
from wsauth.core.permissions import Permissions
from wsauth.core.tokens.rights import at
from wsauth.errors import ConfigurationError

__all__ = ["ASSERTION", "DEFAULT_REMOVED", "Forwarding", "head", "may_compress", "target"]

ASSERTION: Final = "X-Wsauth-Assertion"
DEFAULT_REMOVED: Final = ("X-User", "X-Forwarded-User", "Remote-User")

_OURS: Final = frozenset(
    {
        # Between two neighbours alone (RFC 9110 section 7.6.1), with what older proxies know.
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # About a body that there is not.
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        # Written by us.
        "forwarded",
        "host",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "x-real-ip",
    }
)
_OUR_PREFIXES: Final = ("x-wsauth-", "x-forwarded-")
_USUAL: Final = (
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "cookie",
    "dnt",
    "origin",
    "pragma",
    "priority",
    "referer",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-gpc",
    "user-agent",
)
"""What handshakes usually hold and what passes unless the route says other: one look instead of several."""
_UPGRADE: Final = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_PATH: Final = re.compile(r"(?:/[!\"$-)+->@-~]*)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """Hold what a route changes of the handshakes that it passes on.

    Attributes:
        remove_headers: not passed on, compared without case and with `_` as `-`; one that ends in `*` stands for all
            that begin so.
        forward_claims: claim, or the dotted path to one → the header that it becomes. A client's header of that name
            is not passed on.
        host: what the upstream is told as Host; empty keeps the client's.
        path: for an exact route the whole path; for one that ends in `/*` what stands before the `*`, a slash at its
            end being added. Empty keeps the path as it was sent.
        compression: permessage-deflate may be negotiated with the upstream.

    Raises:
        ConfigurationError: a name is no header's, or one that only we may write.
    """

    remove_headers: tuple[str, ...] = DEFAULT_REMOVED
    forward_claims: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    path: str = ""
    compression: bool = False
    _claims: tuple[tuple[str, str], ...] = field(init=False, repr=False)
    _removed: frozenset[bytes] = field(init=False, repr=False)
    _prefixes: tuple[bytes, ...] = field(init=False, repr=False)
    _usual: frozenset[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host or "a"):
            raise ConfigurationError(
                f"upstream_host: {self.host!r} is not a host; write example.com or example.com:8443"
            )
        if not _PATH.fullmatch(self.path):
            raise ConfigurationError(f"upstream_path: {self.path!r} is not a path; write /below/this")
        removed = {_name(each.removesuffix("*"), "remove_headers") for each in self.remove_headers}
        starts = [_name(each[:-1], "remove_headers") for each in self.remove_headers if each.endswith("*")]
        claims = tuple(self.forward_claims.items())
        names = [_claim_name(name) for _, name in claims]
        if len(set(names)) != len(names):
            raise ConfigurationError("forward_claims: two claims would become the same header")
        gone = _OURS | removed | set(names)
        put = object.__setattr__
        put(self, "_claims", claims)
        put(self, "_removed", frozenset(each.encode() for each in gone))
        put(self, "_prefixes", tuple(each.encode() for each in (*_OUR_PREFIXES, *starts)))
        put(
            self,
            "_usual",
            frozenset(each.encode() for each in _USUAL if each not in gone and not each.startswith(tuple(starts))),
        )

    def kept(self, headers: Iterable[Field]) -> list[Field]:
        """Return what is passed on of a client's headers."""
        kept: list[Field] = []
        listed_ones: list[bytes] = []
        usual, removed, prefixes = self._usual, self._removed, self._prefixes
        for header in headers:
            name = header[0]
            if name in usual:
                kept.append(header)
                continue
            low = name.replace(b"_", b"-")
            if low not in removed:
                if not low.startswith(prefixes):
                    kept.append(header)
            elif name == b"connection" and header[1] != b"Upgrade":
                listed_ones += tokens(header[1])
        if listed_ones and listed_ones != [b"upgrade"]:
            spelled = {each.replace(b"_", b"-") for each in listed_ones}
            kept = [header for header in kept if header[0].replace(b"_", b"-") not in spelled]
        return kept

    def claims_of(self, identity: Identity) -> list[tuple[str, str]]:
        """Return the headers that the identity's claims become."""
        found = [(name, _written(at(identity.claims, claim))) for claim, name in self._claims]
        return [(name, value) for name, value in found if value is not None]


def may_compress(forwarding: Forwarding, handshake: Handshake) -> bool:
    """Tell whether the client and the upstream may negotiate permessage-deflate.

    Never where messages of the client are looked at: it offered `wsauth.v1`, or brought no credentials and may
    authenticate by a message.
    """
    return forwarding.compression and not handshake.speaks and handshake.credentials is not None


def target(forwarding: Forwarding, handshake: Handshake, path: str) -> str:
    """Return path and query for the upstream.

    Args:
        forwarding: what the route changes.
        handshake: the client's; its policy's path is the one that `path` matched.
        path: as sent, without the query.
    """
    if forwarding.path:
        matched = handshake.policy.path
        if matched.endswith("/*"):
            path = forwarding.path.rstrip("/") + "/" + path[len(matched) - 1 :]
        else:
            path = forwarding.path
    return f"{path}?{handshake.query.decode('latin-1')}" if handshake.query else path


def head(
    forwarding: Forwarding,
    handshake: Handshake,
    *,
    path: str,
    key: bytes,
    identity: Identity,
    permissions: Permissions,
    client: Client,
    scheme: str,
    host: str,
    assertion: str | None = None,
    offered: Sequence[str] | None = None,
    extensions: Offers = NONE,
) -> bytes:
    """Return the handshake for the upstream, its empty line included (RFC 6455 section 4.1).

    Args:
        forwarding: what the route changes.
        handshake: the client's; credentials are cut from it.
        path: as sent, without the query.
        key: Sec-WebSocket-Key.
        identity: who it is.
        permissions: what they may do.
        client: who asks.
        scheme: `https` or `http`, as the client came.
        host: the client's Host header (`Handshake.host`).
        assertion: what proves the rest; `None` for none.
        offered: subprotocols; `None` for those of the client.
        extensions: what is offered in the client's name; only where `may_compress` says so.
    """
    ours = [
        f"GET {target(forwarding, handshake, path)} HTTP/1.1\r\nHost: {forwarding.host or host}",
        f"{_UPGRADE}{key.decode()}\r\nX-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: {host}",
    ]
    if client.way:
        ours.append("X-Forwarded-For: " + client.way)
    offers = handshake.offered if offered is None else offered
    if offers:
        ours.append("Sec-WebSocket-Protocol: " + ", ".join(offers))
    claims = forwarding.claims_of(identity) if forwarding.forward_claims else ()
    ours += [f"{name}: {value}" for name, value in identity_headers(identity, permissions, claims)]
    if assertion is not None:
        ours.append(f"{ASSERTION}: {assertion}")
    lines = ["\r\n".join(ours).encode("latin-1")]
    if extensions.header:
        lines.append(b"Sec-WebSocket-Extensions: " + extensions.header)
    lines += [b"%b: %b" % header for header in forwarding.kept(handshake.headers)]
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def _name(name: str, key: str) -> str:
    """Return a header's name as it is compared."""
    if not _TOKEN.fullmatch(name):
        raise ConfigurationError(f"{key}: {name!r} is not the name of a header")
    return name.lower().replace("_", "-")


def _claim_name(name: str) -> str:
    low = _name(name, "forward_claims")
    reserved = {each.lower() for each in (*IDENTITY_HEADERS, ASSERTION)}
    if low in _OURS or low in reserved or low.startswith("x-forwarded-") or "*" in name:
        raise ConfigurationError(f"forward_claims: {name!r} is a header that says something else already")
    return low


def _written(value: Any) -> str | None:
    """Return a claim as a header's value; `None` for one that is not there or has another shape."""
    if isinstance(value, str):
        return encoded(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        # Python refuses to write numbers of more than 4300 digits, and over the limit nothing is written anyway.
        return "9" * (LIMIT + 1) if isinstance(value, int) and value.bit_length() > LIMIT * 4 else repr(value)
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return listed(tuple(value))
    return None
