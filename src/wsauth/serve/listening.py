"""The listening sockets: bound once, before anything else is done, and shared by all processes."""

import errno
import os
import socket
import stat
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsauth.errors import ConfigurationError
from wsauth.gateway.connecting import watch_for_silence
from wsauth.serve.application import Urls
from wsauth.settings import Settings
from wsauth.settings.server import is_loopback

__all__ = ["Listening", "listen"]

_BACKLOG: Final = 2048


@dataclass(frozen=True, slots=True)
class Listening:
    """Hold the sockets.

    Attributes:
        public: of `server.host` and `server.port`.
        admin: of `admin.listen`; `None` where it is off.
        urls: what they are reached by.
    """

    public: socket.socket
    admin: socket.socket | None
    urls: Urls

    @property
    def sockets(self) -> list[socket.socket]:
        """Return all of them."""
        return [self.public] if self.admin is None else [self.public, self.admin]

    def close(self) -> None:
        """Stop listening, in this process."""
        for each in self.sockets:
            each.close()


def listen(settings: Settings, until: ExitStack) -> Listening:
    """Bind what the configuration names.

    Args:
        settings: the configuration.
        until: closes the sockets, and removes a unix socket's file, when it ends.

    Raises:
        ConfigurationError: an address is taken, or is none of ours.
    """
    server, address = settings.server, settings.admin.address
    public = until.enter_context(_tcp("server", server.host, server.port))
    scheme = "https" if server.tls else "http"
    if address is None:
        return Listening(public, None, Urls(_url(scheme, public), ""))
    if isinstance(address, Path):
        admin = until.enter_context(_unix(address))
        until.callback(_remove, address, address.stat().st_ino)
        return Listening(public, admin, Urls(_url(scheme, public), f"unix:{address}"))
    admin = until.enter_context(_tcp("admin.listen", *address))
    return Listening(
        public, admin, Urls(_url(scheme, public), _url("http" if is_loopback(address[0]) else scheme, admin))
    )


def _tcp(key: str, host: str, port: int) -> socket.socket:
    try:
        # A name such as localhost means both kinds of address; IPv4 is what everybody tries.
        found = sorted(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
        family, kind, number, _, address = found[0]
        listener = socket.socket(family, kind, number)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigurationError(f"{_named(key, 'host')}: {host!r} is no address: {_text(error)}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        watch_for_silence(listener)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigurationError(_why_not(key, host, port, error)) from error
    return listener


def _why_not(key: str, host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        mend = "stop what listens there or choose another port; 0 takes a free one"
        return f"{_named(key, 'port')}: {host}:{port} is taken; {mend}"
    if error.errno == errno.EACCES:
        return f"{_named(key, 'port')}: this user may not listen on {host}:{port}; choose a port above 1023"
    return f"{_named(key, 'host')}: cannot listen on {host}:{port}: {_text(error)}"


def _named(key: str, part: str) -> str:
    return f"server.{part}" if key == "server" else key


def _text(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _url(scheme: str, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _unix(path: Path) -> socket.socket:
    if sys.platform == "win32":
        raise ConfigurationError('admin.listen: unix sockets are not here on Windows; write "HOST:PORT"')
    _replace_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"admin.listen: cannot listen on {str(path)!r}: {_text(error)}") from error
    finally:
        os.umask(before)
    return listener


def _replace_stale(path: Path) -> None:
    """Remove the socket that a killed server left."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"admin.listen: {str(path)!r} is there and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
        else:
            raise ConfigurationError(
                f"admin.listen: {str(path)!r} is taken; stop what listens there or choose another path"
            )


def _remove(path: Path, inode: int) -> None:
    """Remove our socket; somebody else's that took its place stays."""
    with suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()
