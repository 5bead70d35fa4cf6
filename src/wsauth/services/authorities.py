"""The authorities that sign client certificates: a PEM file, read anew when it changes."""

import logging
import os
import ssl
from typing import Any, Final

from wsauth.core.certificates import distinguished_name
from wsauth.errors import ConfigurationError

__all__ = ["Authorities", "load", "stamp"]

_log: Final = logging.getLogger("wsauth")
_KEY: Final = "server.tls_client_ca"


class Authorities:
    """Name the authorities in a file.

    Args:
        file: PEM.

    Raises:
        ConfigurationError: the file cannot be read, or there is no authority in it.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._stamp = stamp(file)
        self._names = load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), file)

    @property
    def names(self) -> frozenset[str]:
        """Return the distinguished names of the file as it is now; as it was while it cannot be used."""
        now = stamp(self.file)
        if now != self._stamp:
            self._stamp = now
            try:
                self._names = load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.file)
            except ConfigurationError as error:
                _log.error("%s; the authorities of before stay", error)
        return self._names


def load(context: ssl.SSLContext, file: str) -> frozenset[str]:
    """Have a context trust the authorities in a file and nobody above them, and return their names.

    Raises:
        ConfigurationError: the file cannot be read, or there is no authority in it.
    """
    try:
        context.load_verify_locations(cafile=file)
        certificates: list[dict[str, Any]] = context.get_ca_certs()
        names = frozenset(distinguished_name(found["subject"]) for found in certificates)
    except ssl.SSLError:
        raise ConfigurationError(f"{_KEY}: {file} is no whole PEM file of certificates; put it there again") from None
    except OSError as error:
        raise ConfigurationError(f"{_KEY}: {file}: {error.strerror}; name a PEM file that can be read") from None
    except ValueError as error:
        raise ConfigurationError(f"{_KEY}: {file}: {error}; leave that certificate out") from None
    if not names:
        raise ConfigurationError(f"{_KEY}: {file} has no certificate of an authority in it; put one there")
    # An intermediate authority without its root is trusted too: it is named, and what is above it is not.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return names


def stamp(file: str) -> tuple[int, int, int] | None:
    """Return what tells a file from the one that takes its place: time, size and inode; `None` where there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
