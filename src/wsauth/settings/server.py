"""`[server]`: what listens, under which name, and who may come."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, StrictBool, StrictInt

from wsauth.settings.keys import Duration, File, Kind, Names, NeededDuration, NeededSize, Pages, Table, key

__all__ = ["Network", "Server", "is_loopback", "is_wildcard"]

Network = IPv4Network | IPv6Network

_PRIVATE: Final = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
"""What `"private"` stands for (RFC 1122 section 3.2.1.3, RFC 1918, RFC 3927, RFC 4193, RFC 4291)."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII)
_URL: Final = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", re.ASCII)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Tell whether the address stands for all addresses of the machine."""
    return host in ("0.0.0.0", "::")  # noqa: S104 -- compared, not bound


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return _NAME.fullmatch(host) is not None
    return True


def _host(value: str) -> str:
    host = value.lower().removeprefix("[").removesuffix("]")
    if not _is_host(host):
        raise ValueError(f"host = {value!r} is not an address: write host and port as two keys")
    return host


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    hosts = tuple(entry.lower().removeprefix("[").removesuffix("]") for entry in value)
    for host in hosts:
        if not _is_host(host):
            raise ValueError(f"allowed_hosts: {host!r} is not a name or an address; write it without scheme and port")
    return hosts


def _public_url(value: str) -> str:
    match = _URL.fullmatch(value.lower())
    if value and (match is None or not _is_host(match[2].strip("[]")) or int(match[3] or 0) > 65535):
        # The value is not shown: it may hold a user and a password.
        raise ValueError('public_url is no address without a path: write public_url = "https://ws.example.com"')
    return value.lower().rstrip("/")


def _networks(value: tuple[str, ...]) -> tuple[Network, ...]:
    written = [each for entry in value for each in (_PRIVATE if entry == "private" else (entry,))]
    return tuple(ip_network(entry) for entry in written)


def _proxies(value: tuple[str, ...]) -> tuple[str, ...]:
    for entry in value:
        try:
            _networks((entry,))
        except ValueError:
            raise ValueError(
                f'trusted_proxies: {entry!r} is neither an address nor a network; write "10.0.0.7", "10.0.0.0/8" '
                'or "private"'
            ) from None
    return value


class Server(Table):
    """What listens, under which name, and who may come."""

    host: Annotated[str, AfterValidator(_host), Kind("address")] = key(
        "127.0.0.1",
        "The address to listen on. One that other machines reach needs TLS: tls_certificate and tls_key here, or a "
        "proxy named in trusted_proxies.",
    )
    port: StrictInt = key(8080, "The port to listen on; 0 takes a free one.", ge=0, le=65535)
    public_url: Annotated[str, AfterValidator(_public_url), Kind("URL")] = key(
        "",
        "The address that people use, without a path. Empty: what is served; on loopback, localhost, 127.0.0.1 and "
        "[::1] are all our own.",
    )
    allowed_hosts: Annotated[tuple[str, ...], AfterValidator(_hosts), Kind("list of names")] = key(
        [],
        "Names in the Host header that are answered, without port; any other gets 421. Empty: public_url's, and the "
        "loopback names where loopback is listened on.",
    )
    origins: Pages = key(
        [],
        "Pages that may use the HTTP API (CORS with credentials) and every route, exact: https://app.example.com. Our "
        'own is always in. "*" (every page) only where no route takes a cookie.',
    )
    workers: StrictInt = key(1, "How many processes accept connections.", ge=1)
    tls_certificate: File = key("", "The certificate and its chain, PEM. TLS 1.3 only, unless tls_minimum says other.")
    tls_key: File = key("", "The certificate's private key, PEM, without a passphrase.")
    tls_client_ca: File = key(
        "",
        'Who vouches for client certificates, PEM. Clients are asked for one, and routes with the source "certificate" '
        "take it. Needs tls_certificate.",
    )
    tls_minimum: Literal["1.3", "1.2"] = key("1.3", "The oldest TLS version that is spoken.")
    trusted_proxies: Annotated[Names, AfterValidator(_proxies), Kind("list of networks")] = key(
        [],
        'Who ends TLS in front of us: addresses, networks, or "private". Only their Forwarded and X-Forwarded-* are '
        "believed; on an address that other machines reach and without TLS, every other peer is refused.",
    )
    insecure_plaintext: StrictBool = key(
        False, "Listen without TLS where other machines can come. Whoever is on the way reads passwords and tokens."
    )
    max_request_head: NeededSize = key("16KiB", "The largest request line and headers.")
    request_timeout: NeededDuration = key("10s", "How long a request may take to arrive.")
    drain_timeout: Duration = key("30s", "After SIGTERM: over how long open sockets are closed. Off: at once.")

    @property
    def tls(self) -> bool:
        """Whether we end TLS ourselves."""
        return bool(self.tls_certificate)

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of `trusted_proxies`."""
        return _networks(self.trusted_proxies)
