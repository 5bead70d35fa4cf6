"""TLS with a certificate of our own: 1.3, or 1.2 with forward secrecy where the configuration asks (ASVS 12.1).

The files are read anew when they change. Each reading makes a context of its own, since one that was used before
forgets nothing: not an authority that was taken out, nor the tickets by which clients resume without a certificate.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from cryptography import x509

from wsauth.errors import ConfigurationError
from wsauth.services.authorities import load, stamp
from wsauth.settings import Settings

__all__ = ["HSTS", "Certificates"]

_log: Final = logging.getLogger("wsauth")
HSTS: Final = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
"""One year (RFC 6797, ASVS 3.4.1)."""
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all good."""
_BY_NAME: Final = "CALLBACK_FAILED"
"""What the library says of a handshake that `Certificates` itself refused."""
_POLL: Final = 2.0
"""Seconds from one look at the files to the next."""
_QUIET: Final = 60.0
"""Seconds in which handshakes that fail alike are told of once."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class _Context(ssl.SSLContext):
    """Be a context that learns of handshakes that fail: an event loop keeps that to itself."""

    failed: Callable[[ssl.SSLError], None]


class _End(ssl.SSLObject):
    """Be the server's end of a connection, which says why it refuses the other one.

    An event loop cuts the connection at the first error, and with it the alert that would tell the client. Here the
    handshake first goes on as if it waited for the client, which is when the loop sends what there is to send.
    """

    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._failure = error
            if isinstance(self.context, _Context):
                self.context.failed(error)
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert is on its way") from error


class Certificates:
    """Hold what TLS is spoken with.

    Args:
        settings: the configuration, with a certificate.

    Attributes:
        context: for whoever connects from now on.

    Raises:
        ConfigurationError: a file cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        server, address = settings.server, settings.admin.address
        self._certificate, self._key, self._authorities = server.tls_certificate, server.tls_key, server.tls_client_ca
        self._minimum = ssl.TLSVersion.TLSv1_2 if server.tls_minimum == "1.2" else ssl.TLSVersion.TLSv1_3
        admin = {address[0].lower()} if isinstance(address, tuple) else set()
        self._names = settings.allowed_hosts() | admin | {*_LOOPBACK}
        self._told: dict[str, float] = {}
        self._read = self._polled = self._stamps()
        self.context = self._made()

    def reload(self) -> bool:
        """Read the files now, and tell whether there is a new context; files that cannot be used change nothing."""
        self._read = self._stamps()
        try:
            self.context = self._made()
        except ConfigurationError as error:
            _log.error("%s; TLS goes on with what was read before", error)
            return False
        return True

    def check(self) -> bool:
        """Read the files if they have changed, and tell whether there is a new context.

        A change counts when it was there the last time too: who writes two files is not done after the first.
        """
        before, self._polled = self._polled, self._stamps()
        return self._polled == before and self._polled != self._read and self.reload()

    async def follow(self, asked: asyncio.Event, use: Callable[[ssl.SSLContext], Awaitable[None]]) -> None:
        """Read the files when asked, and by itself soon after they have changed, until it is cancelled.

        Args:
            asked: set by whoever wants them read now (SIGHUP).
            use: called with every new context.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await asked.wait()
            fresh = self.reload() if asked.is_set() else self.check()
            asked.clear()
            if fresh:
                await use(self.context)

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [stamp(file) for file in (self._certificate, self._key, self._authorities)]

    def _made(self) -> ssl.SSLContext:
        context = _Context(ssl.PROTOCOL_TLS_SERVER)
        context.sslobject_class, context.failed = _End, self._failed
        context.minimum_version = self._minimum
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.sni_callback = self._check_name
        self._load_pair(context)
        if self._authorities:
            load(context, self._authorities)
            context.verify_mode = ssl.CERT_OPTIONAL
            # Who resumes shows no certificate, and the one of before counts without being looked at again. TLS 1.2
            # resumes all the same, by a cache of this context; the lease knows its end whatever TLS overlooks.
            context.num_tickets = 0
        return context

    def _load_pair(self, context: ssl.SSLContext) -> None:
        until = self._whole_certificate()
        key = f"server.tls_key: {self._key}"
        try:
            # Without a password OpenSSL would ask the terminal for one.
            context.load_cert_chain(self._certificate, self._key, password=lambda: "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                text = f"{key} is not the key of {self._certificate}; put the two there that belong together"
            else:
                text = f"{key} is no whole PEM file without a passphrase; put the key there again"
            raise ConfigurationError(text) from None
        except OSError as error:
            raise ConfigurationError(f"{key}: {error.strerror}; name a PEM file that can be read") from None
        _log.info("TLS: %s is good until %s", self._certificate, until)

    def _whole_certificate(self) -> str:
        """Check the certificate without its key, and return until when it is good."""
        certificate = f"server.tls_certificate: {self._certificate}"
        try:
            with open(self._certificate, "rb") as file:
                first, *_ = x509.load_pem_x509_certificates(file.read())
            # OpenSSL does not say which of two files is broken; here it reads one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(self._certificate)
        except (ssl.SSLError, ValueError):
            raise ConfigurationError(f"{certificate} is no whole PEM file; put the certificate there again") from None
        except OSError as error:
            raise ConfigurationError(f"{certificate}: {error.strerror}; name a PEM file that can be read") from None
        return first.not_valid_after_utc.isoformat()

    def _check_name(self, _: object, name: str | None, __: object) -> int | None:
        """Let nobody in who asks for another server (RFC 9325 section 3.7, against ALPACA); no name is no other one."""
        if name is None or name.lower() in self._names:
            return None
        self._tell("a client asked for another server", f" ({name!r:.100}), which server.allowed_hosts does not have")
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    def _failed(self, error: ssl.SSLError) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            self._tell(f"a client certificate was refused: {error.verify_message}")
        elif error.reason != _BY_NAME:
            self._tell(f"a handshake failed: {(error.reason or 'no reason').lower().replace('_', ' ')}")

    def _tell(self, what: str, whom: str = "") -> None:
        """Log why somebody was not let in; of many alike, one."""
        now = time.monotonic()
        if now >= self._told.get(what, -_QUIET) + _QUIET:
            self._told[what] = now
            _log.info("TLS: %s%s", what, whom)
