"""What may stand behind a route: the built-in echo, an application, or addresses in the network."""

import os
import re
from ipaddress import ip_address
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ValidationInfo

from wsauth.settings.keys import Kind, placed
from wsauth.settings.server import is_loopback
from wsauth.settings.sources import Inside

__all__ = ["ECHO", "UNIX", "Upstream", "host_of", "is_host", "is_network", "is_remote", "path_of"]

ECHO: Final = "echo"
UNIX: Final = "unix:"
_ASGI: Final = "asgi:"
_APPLICATION: Final = re.compile(r"asgi:[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_NETWORK: Final = ("ws://", "wss://", UNIX)
_URL: Final = re.compile(r"wss?://([^/]*)(?:/[!-)+-~]*)?", re.ASCII)
_HOST: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII)
# Docker and others make names with an underscore, and a dot at the end stops the search for a suffix.
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?", re.ASCII | re.I)
_PORTS: Final = {"ws": 80, "wss": 443}
_IPV6: Final = 6
_LONGEST: Final = 107
"""Bytes that the path of a socket may have (unix(7), sun_path)."""
_INSTEAD: Final = {"http": "ws", "https": "wss"}
_ADDRESS: Final = "ws://host:port, wss://host:port or unix:/path/to.sock"


def is_host(text: str) -> bool:
    """Tell whether it is a host, or a host and a port, as the Host header has them (RFC 9110 section 7.2)."""
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match[2] or 1) <= 65535:
        return False
    host = match[1].strip("[]")
    try:
        return (ip_address(host).version == _IPV6) is match[1].startswith("[")
    except ValueError:
        # A name does not end in a number, so that nobody takes it for an address (URL standard, host parsing).
        return not host.rstrip(".").rpartition(".")[2].isdigit() and _NAME.fullmatch(match[1]) is not None


def is_network(upstream: str) -> bool:
    """Tell whether it is an address, and not something inside this process."""
    return upstream.startswith(_NETWORK)


def host_of(upstream: str) -> str:
    """Return the host of a ws:// or wss:// upstream, in lower case and without brackets; empty for any other."""
    return (urlsplit(upstream).hostname or "") if upstream.startswith(_NETWORK[:2]) else ""


def is_remote(upstream: str) -> bool:
    """Tell whether what is sent there may leave this machine."""
    return bool(host := host_of(upstream)) and not is_loopback(host)


def path_of(upstream: str) -> str:
    """Return the path of a ws:// or wss:// upstream; empty without one and for `/` (RFC 3986 6.2.3)."""
    path = urlsplit(upstream).path if host_of(upstream) else ""
    return "" if path == "/" else path


def _upstream(value: Any, info: ValidationInfo) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return _checked(value, info)
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
        raise ValueError(f'upstream is neither a text nor a list of texts: write "echo", or {_ADDRESS}')
    if not value:
        raise ValueError(f"upstream is an empty list: write {_ADDRESS}")
    return _several(value, info)


def _several(value: list[str] | tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    found: dict[object, str] = {}
    for at, entry in enumerate(value):
        try:
            upstream = _checked(entry, info)
        except ValueError as error:
            raise Inside((at,), str(error)) from None
        if not is_network(upstream):
            raise Inside((at,), f"upstream cannot be {_shown(entry)} in a list: write {_ADDRESS}")
        if (same := _identity(upstream)) in found:
            raise Inside((at,), "upstream stands there twice: write each address once")
        if path_of(upstream) != path_of(next(iter(found.values()), upstream)):
            raise Inside((at,), "upstream has another path than the first: write one and the same")
        found[same] = upstream
    return tuple(found.values())


def _identity(upstream: str) -> object:
    if upstream.startswith(UNIX):
        return upstream
    url = urlsplit(upstream)
    return url.scheme, url.hostname, url.port or _PORTS[url.scheme], path_of(upstream)


def _checked(value: str, info: ValidationInfo) -> str:
    if value == ECHO or _APPLICATION.fullmatch(value):
        return value
    if value.startswith(_ASGI):
        raise ValueError(f"upstream{_told(value)} is no application: write asgi:package.module:app")
    scheme = value.partition("://")[0]
    if scheme in _INSTEAD:
        raise ValueError(f"upstream begins with {scheme}://: write {_INSTEAD[scheme]}:// in its place")
    if not is_network(value):
        raise ValueError(f'upstream{_told(value)} is no upstream: write "echo", asgi:package.module:app, {_ADDRESS}')
    return _socket(value, info) if value.startswith(UNIX) else _url(value)


def _url(value: str) -> str:
    if "@" in value.partition("://")[2].partition("/")[0]:
        raise ValueError("upstream has a user or a password: write it without them")
    for mark, part in (("?", "query"), ("#", "fragment")):
        if mark in value:
            raise ValueError(f"upstream has a {part}: write it without the {mark!r} and what follows")
    match = _URL.fullmatch(value)
    if match is None or not is_host(match[1]):
        raise ValueError(f"upstream{_told(value)} is no address: write ws://host:port or wss://host:port")
    return value


def _socket(value: str, info: ValidationInfo) -> str:
    path = value.removeprefix(UNIX)
    if not path or "?" in path or "#" in path or (path.startswith("//") and not path.startswith("///")):
        raise ValueError("upstream names no socket: write unix:/path/to.sock")
    path = placed(path, info)
    if len(os.fsencode(path)) > _LONGEST:
        raise ValueError(
            f"upstream: {path} is over {_LONGEST} bytes, which no socket's path may be; write a shorter one"
        )
    return UNIX + path


def _told(value: str) -> str:
    return "" if (shown := _shown(value)) == "this" else f" = {shown}"


def _shown(value: str) -> str:
    """Return the value where it can be shown: behind these marks there may be a password or a key."""
    return "this" if set("@?#") & set(value) or len(value) > 80 else repr(value)


Upstream = Annotated[str | tuple[str, ...], BeforeValidator(_upstream), Kind("upstream, or list of addresses")]
