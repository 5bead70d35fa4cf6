"""Read a WebSocket handshake: is it well formed, may this page connect, and what was presented (CONTRACT section 5).

`read` never raises for what a peer sent: the `Handshake` it returns carries the no, together with what is known by
then of how the no can be said.
"""

import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_plus

from wsauth.core.certificates import read_certificate
from wsauth.core.cookies import ASIDE, DEVICES, cut_cookies
from wsauth.core.credentials import Credentials
from wsauth.core.head import Head, offers, read_head
from wsauth.core.protocol.wire import BEARER_PREFIX, RESERVED_PREFIX, SUBPROTOCOL, TICKET_PREFIX
from wsauth.core.routes import Policy, Routes
from wsauth.errors import Refused

__all__ = ["COMPACT_JWS", "Handshake", "Header", "authorization", "read", "read_query", "read_raw"]

Header = tuple[bytes, bytes]

COMPACT_JWS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_QUERY_TOKENS: Final = frozenset({"token", "access_token", "authorization"})
_ABOUT_CREDENTIALS: Final = frozenset(
    {"credentials_missing", "credentials_invalid", "credentials_ambiguous", "credentials_in_query", "token_invalid"}
)


class Handshake:
    """Hold what one handshake asked for, with every credential cut out of what goes on to the application.

    Attributes:
        policy: the route's rules.
        credentials: what was presented, or `None`.
        refused: why it is refused, or `None`.
        browser: an Origin was there and is allowed: an accepted refusal can be read by its page.
        speaks: `wsauth.v1` was offered.
        offered: the application's subprotocols that were offered, in order.
        echo: the one offer that must be answered although it is a credential (`insecure_bare_subprotocol`).
        headers: the request's headers without credentials; names in lower case.
        query: the query string without credentials.
        origin: the Origin header, or empty.
        host: the Host header, port included.
        device: the cookie by which our server knows a device again, or empty.
    """

    __slots__ = (
        "browser",
        "credentials",
        "device",
        "echo",
        "headers",
        "host",
        "offered",
        "origin",
        "policy",
        "query",
        "refused",
        "speaks",
    )

    def __init__(self, policy: Policy, headers: list[Header], query: bytes) -> None:
        self.policy = policy
        self.headers = headers
        self.query = query
        self.credentials: Credentials | None = None
        self.refused: Refused | None = None
        self.browser = False
        self.speaks = False
        self.offered: list[str] = []
        self.echo = ""
        self.origin = ""
        self.host = ""
        self.device = ""

    def override(self) -> None:
        """Let any credentials, or none, stand for those that a test decides about; all other rules hold."""
        if self.refused is None or self.refused.code in _ABOUT_CREDENTIALS:
            self.refused = None
            self.credentials = Credentials("token", "", source="header")


def read(
    headers: Iterable[Header],
    query: bytes,
    offers: Sequence[str],
    policy: Policy,
    *,
    private: bool,
    cookies: Collection[str] = (),
    certificate: Mapping[str, Any] | None = None,
) -> Handshake:
    """Read one handshake.

    Args:
        headers: as received, names in lower case.
        query: the query string as received.
        offers: the subprotocols offered, in order.
        policy: the route's rules.
        private: nobody can listen: TLS, or both ends on loopback; passwords need it.
        cookies: names of the cookies that carry a credential.
        certificate: what `SSLObject.getpeercert()` said of the client's certificate, which TLS has verified, if any.
    """
    handshake = Handshake(policy, list(headers), query)
    handshake.speaks = SUBPROTOCOL in offers
    try:
        head = read_head(handshake.headers)
        handshake.origin, handshake.host = head.origin, head.host
        _check_origin(head, policy, handshake)
        found = _explicit(head, offers, handshake, private)
        _take_cookies(head, cookies, handshake, found)
        if certificate:
            _take_certificate(certificate, policy, found)
        _settle(found, handshake)
    except Refused as error:
        handshake.refused = error.as_value()
    return handshake


def read_raw(
    headers: list[Header],
    query: bytes,
    path: str,
    routes: Routes,
    *,
    private: bool,
    cookies: Collection[str] = (),
    certificate: Mapping[str, Any] | None = None,
) -> Handshake:
    """Read one handshake whose head nobody but us has read: find its route, and read its offers, first.

    Args:
        headers: as received, names in lower case.
        query: the query string as received.
        path: as sent, without the query.
        routes: what is served.
        private: nobody can listen: TLS, or both ends on loopback; passwords need it.
        cookies: names of the cookies that carry a credential.
        certificate: what `SSLObject.getpeercert()` said of the client's certificate, which TLS has verified, if any.
    """
    policy = routes.find(path)
    try:
        routes.check(path, policy)
        offered = offers(headers)
    except Refused as error:
        handshake = Handshake(policy, headers, query)
        handshake.refused = error.as_value()
        return handshake
    return read(headers, query, offered, policy, private=private, cookies=cookies, certificate=certificate)


def _check_origin(head: Head, policy: Policy, handshake: Handshake) -> None:
    origin = head.origin
    if not origin:
        return
    if not policy.origins.allow(origin):
        raise Refused(
            "origin_denied",
            f"the page's Origin {_shown(origin)} is not allowed at {policy.path}",
            mend=f'origins = ["{origin}"]' if _shown(origin) == repr(origin) else "",
        )
    if head.fetch_site in ("cross-site", "same-origin"):
        own = origin.partition("://")[2].lower() == head.host.lower()
        if own is (head.fetch_site == "cross-site"):
            raise Refused(
                "origin_denied",
                f"Sec-Fetch-Site says {head.fetch_site}, which contradicts Origin {_shown(origin)} and Host "
                f"{head.host!r}",
                mend="the proxy in front must keep the client's Host",
            )
    handshake.browser = True


def _explicit(head: Head, offers: Sequence[str], handshake: Handshake, private: bool) -> list[Credentials]:
    found: list[Credentials] = []
    if head.authorization is not None:
        handshake.headers = [header for header in handshake.headers if header[0] != b"authorization"]
        credentials = authorization(head.authorization)
        if credentials.kind == "password":
            check_private(private)
        found.append(credentials)
    if offers:
        found += _subprotocols(offers, handshake)
    if handshake.query:
        in_query, handshake.query = read_query(handshake.query)
        found += in_query
    return found


def authorization(value: str) -> Credentials:
    """Read an Authorization header or its text (RFC 6750 section 2.1, RFC 7617).

    Raises:
        Refused: it is neither Bearer with one token nor Basic with a user-id and a password.
    """
    scheme, _, rest = value.partition(" ")
    scheme = scheme.lower()
    rest = rest.strip(" ")
    if scheme == "bearer" and rest and " " not in rest and "\t" not in rest and "," not in rest:
        return Credentials("token", rest, source="header")
    if scheme == "basic" and rest:
        username, colon, password = _basic(rest).partition(":")
        if colon:
            return Credentials("password", password, source="basic", username=username)
    raise Refused("credentials_invalid", "the Authorization header is neither Bearer TOKEN nor Basic USER:PASSWORD")


def _basic(text: str) -> str:
    try:
        return a2b_base64(text, strict_mode=True).decode()
    except (Base64Error, ValueError):
        return ""


def check_private(private: bool) -> None:
    """Refuse a password that others could have heard.

    Raises:
        Refused: neither TLS nor loopback.
    """
    if not private:
        raise Refused("credentials_invalid", "a password came over plain ws:// from another machine", mend="use wss://")


def _subprotocols(offers: Sequence[str], handshake: Handshake) -> list[Credentials]:
    found: list[Credentials] = []
    bare = "insecure_bare_subprotocol" in handshake.policy.sources
    for offer in offers:
        if offer.startswith(BEARER_PREFIX):
            found.append(Credentials("token", _bearer(offer[len(BEARER_PREFIX) :]), source="subprotocol"))
        elif offer.startswith(TICKET_PREFIX):
            found.append(Credentials("ticket", offer[len(TICKET_PREFIX) :], source="ticket"))
        elif offer.startswith("eyJ") and COMPACT_JWS.fullmatch(offer):
            found.append(Credentials("token", offer, source="insecure_bare_subprotocol"))
            if bare:
                handshake.echo = offer
        elif not offer.startswith(RESERVED_PREFIX):
            handshake.offered.append(offer)
    if len(handshake.offered) != len(offers):
        _cut_offers(handshake)
    if handshake.echo and (handshake.offered or handshake.speaks):
        handshake.echo = ""
    if found and not handshake.offered and not handshake.speaks and not handshake.echo:
        raise Refused(
            "request_invalid",
            "a credential was the only subprotocol offered, and it must never be the answer",
            mend=f"offer {SUBPROTOCOL} beside it",
        )
    return found


def _cut_offers(handshake: Handshake) -> None:
    kept: list[Header] = [header for header in handshake.headers if header[0] != b"sec-websocket-protocol"]
    if handshake.offered:
        kept.append((b"sec-websocket-protocol", ", ".join(handshake.offered).encode("latin-1")))
    handshake.headers = kept


def _bearer(text: str) -> str:
    """Return the token of `wsauth.bearer.TEXT`: a compact JWS as it is, else from base64url (RFC 4648 section 5)."""
    if COMPACT_JWS.fullmatch(text):
        return text
    try:
        if not _BASE64URL.fullmatch(text):
            raise ValueError
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (Base64Error, ValueError):
        raise Refused("token_invalid", "the subprotocol's token is neither a compact JWS nor base64url") from None


def read_query(query: bytes) -> tuple[list[Credentials], bytes]:
    """Return the credentials in a query string, and the query string without them, else as it was."""
    found: list[Credentials] = []
    kept: list[bytes] = []
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        key = name.decode("latin-1")
        if "%" in key or "+" in key:
            key = unquote_plus(key)
        key = key.lower()
        if key == "ticket":
            found.append(Credentials("ticket", unquote_plus(value.decode("latin-1")), source="ticket"))
        elif key in _QUERY_TOKENS:
            token = unquote_plus(value.decode("latin-1")).removeprefix("Bearer ").strip()
            found.append(Credentials("token", token, source="insecure_query"))
        else:
            kept.append(pair)
    return found, b"&".join(kept) if found else query


def _take_cookies(head: Head, names: Collection[str], handshake: Handshake, found: list[Credentials]) -> None:
    if not head.cookie:
        return
    cut, kept = cut_cookies(head.cookie, ASIDE.union(names))
    if not cut:
        return
    handshake.device = next((value for name, value in cut if name in DEVICES), "")
    taken = [each for each in cut if each[0] not in ASIDE]
    handshake.headers = [header for header in handshake.headers if header[0] != b"cookie"]
    if kept:
        handshake.headers.append((b"cookie", kept.encode("latin-1")))
    if not taken or found or "cookie" not in handshake.policy.sources:
        return
    if not handshake.browser:
        raise Refused("origin_denied", "a cookie came without an allowed Origin", mend='origins = ["https://…"]')
    if len(taken) > 1 and len({name for name, _ in taken}) > 1:
        raise Refused("credentials_ambiguous", "cookies of two issuers came together")
    if len(taken) > 1:
        raise Refused("request_invalid", "the credential's cookie came more than once")
    name, value = taken[0]
    found.append(Credentials("token", value, source="cookie", cookie=name))


def _take_certificate(presented: Mapping[str, Any], policy: Policy, found: list[Credentials]) -> None:
    """Take a client certificate, which counts as a cookie does: only where it is a source and nothing explicit came.

    Like a cookie it comes by itself, so that the two together say nothing about which of them is meant. The Origin is
    looked at as always; where there is none, no browser sent it, and a program means the certificate it has.
    """
    if "certificate" not in policy.sources:
        return
    if not found:
        certificate = read_certificate(presented, policy.certificate_subject)
        found.append(Credentials("certificate", "", source="certificate", certificate=certificate))
    elif found[0].source == "cookie":
        raise Refused(
            "credentials_ambiguous",
            "a cookie and a client certificate came together",
            mend=f'sources of {policy.path}: leave out "cookie" or "certificate"',
        )


def _settle(found: list[Credentials], handshake: Handshake) -> None:
    sources = handshake.policy.sources
    if len(found) > 1:
        names = " and ".join(credentials.source for credentials in found)
        raise Refused("credentials_ambiguous", f"credentials came by {names}")
    if found:
        credentials = found[0]
        if credentials.source in sources:
            handshake.credentials = credentials
        elif credentials.source == "insecure_query":
            raise Refused(
                "credentials_in_query",
                f"a token came in the URL at {handshake.policy.path}",
                mend='sources = [..., "insecure_query"], or better a ticket',
            )
        else:
            raise Refused(
                "credentials_invalid",
                f"credentials came by {credentials.source}, which is no source at {handshake.policy.path}",
                mend=f'sources = [..., "{credentials.source}"]',
            )
    elif not handshake.policy.anonymous and "message" not in sources:
        raise Refused("credentials_missing", f"nothing was presented at {handshake.policy.path}")


def _shown(text: str) -> str:
    """Return the peer's text as a log may hold it: printable, quoted, short."""
    return repr(text[:100].encode("ascii", "backslashreplace").decode())
