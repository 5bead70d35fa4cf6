"""TLS with a certificate of our own: 1.3, or 1.2 with forward secrecy where the configuration asks (ASVS 12.1)."""

import ssl
from typing import Final

from wsauth.settings import Settings

__all__ = ["HSTS", "tls"]

HSTS: Final = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
"""One year (RFC 6797, ASVS 3.4.1)."""
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all good."""


def tls(settings: Settings) -> ssl.SSLContext | None:
    """Return the context of the configured certificate, which the settings have tried, or `None` without one."""
    server = settings.server
    if not server.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if server.tls_minimum == "1.2" else ssl.TLSVersion.TLSv1_3
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    # Without a password OpenSSL would ask the terminal for one.
    context.load_cert_chain(server.tls_certificate, server.tls_key, password=lambda: "")
    return context
