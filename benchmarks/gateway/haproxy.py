"""HAProxy as a gateway: plain, or verifying HS256 tokens itself (`jwt_verify`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET
from benchmarks.gateway.process import Gateway, free_port, running, until_listening
from benchmarks.programs import program
from benchmarks.subject import CORE

CONFIG = """
global
    nbthread 1
    maxconn 9900

defaults
    mode http
    timeout connect 5s
    timeout http-request 10s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h

frontend front
    bind 127.0.0.1:{port}{tls}
{checks}
    default_backend back

backend back
    server one 127.0.0.1:{backend}
"""

VERIFY = f"""
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.jwt_alg) var(txn.bearer),jwt_header_query('$.alg')
    http-request deny deny_status 401 unless {{ var(txn.jwt_alg) -m str HS256 }}
    http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.jwt_alg,"{SECRET}") 1 }}
"""
"""As the manual's example does it: algorithm and signature."""

CLAIMS = f"""
    http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {ISSUER} }}
    http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.aud') -m str {AUDIENCE} }}
    http-request deny deny_status 401 unless {{ var(txn.exp),sub(txn.now) -m int gt 0 }}
"""
"""What a token needs to be worth something: issuer, audience and end."""

CHECKS = {"": "", "jwt": VERIFY, "claims": VERIFY + CLAIMS}


@contextmanager
def haproxy(folder: Path, backend: int, checks: str = "", certificate: Path | None = None) -> Iterator[Gateway]:
    """Run HAProxy in one process with one thread; the certificate's file has its key, too."""
    port, config, said = free_port(), folder / "haproxy.cfg", folder / "haproxy.log"
    tls = f" ssl crt {certificate} ssl-min-ver TLSv1.3" if certificate else ""
    config.write_text(CONFIG.format(port=port, backend=backend, tls=tls, checks=CHECKS[checks]))
    with running([program("haproxy"), "-db", "-f", str(config)], CORE, said) as process:
        until_listening(process, port, said)
        yield Gateway(port, (process.pid,))
