"""wsauth as a gateway: compiled or plain Python, with the issuer's HS256 tokens or its own, over TCP or TLS."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from benchmarks.gateway.process import PATIENCE, Gateway, running
from benchmarks.served.process import ISSUER
from benchmarks.subject import CORE, NotStarted

READY = re.compile(r"listening on https?://127\.0\.0\.1:(\d+)$", re.M)
ORIGIN = "https://app.example.com"
"""The page that comes with cookies."""

CONFIG = """
[server]
port = 0
origins = ["{origin}"]
{tls}

{door}
[tokens]
issuer = "{issuer}"
access_ttl = "6h"
ticket_ttl = "1h"

[admin]
listen = "{admin}"

[[routes]]
path = "/*"
upstream = "ws://127.0.0.1:{backend}"
assertion = {assertion}
"""
"""Tokens and tickets live longer than by default only because they are made before a run."""


RAISED = """
[limits]
login_failures_per_address = "999999999/s"
auth_failures_per_address = "999999999/s"
connect_per_address = "999999999/s"
unauthenticated_per_address = 1000000
unauthenticated_connections = 1000000
connections_per_identity = 1000000
"""
"""What a generator at one address must not meet; everything is counted all the same, and the audit log is on."""

BARE = """
[limits]
exempt = ["127.0.0.0/8"]
connections_per_identity = 1000000

[monitoring]
audit_log = "/dev/null"
"""
"""No address is counted, and the audit log goes nowhere."""

DOORS = {"raised": RAISED, "default": "", "bare": BARE}


def config_of(backend: int, *, assertion: bool, certificate: Path | None = None, door: str = "raised") -> str:
    """Return the text of wsauth.toml; the certificate's file has its key, too, and the door is one of `DOORS`."""
    tls = f'tls_certificate = "{certificate}"\ntls_key = "{certificate}"' if certificate else ""
    return CONFIG.format(
        origin=ORIGIN,
        issuer=ISSUER,
        tls=tls,
        backend=backend,
        assertion="true" if assertion else "false",
        door=DOORS[door],
        admin="127.0.0.1:0" if door == "default" else "off",
    )


@contextmanager
def wsauth(
    folder: Path,
    backend: int,
    half: str = "compiled",
    *,
    own: Path | None = None,
    certificate: Path | None = None,
    door: str = "raised",
    environ: dict[str, str] | None = None,
) -> Iterator[Gateway]:
    """Run the server on a store.

    Args:
        folder: for its configuration, and for its store where that is new.
        backend: the port of the upstream.
        half: `compiled` or `python`: which of the two `splice` is.
        own: the folder of a store, whose own tokens come, and whose upstream gets assertions; without it another
            issuer's tokens come, and no assertions are made.
        certificate: to serve TLS with.
        door: one of `DOORS`: which limits there are, and where the audit log goes.
        environ: variables beside ours.
    """
    site = own or folder
    config, said = site / "wsauth.toml", folder / "wsauth.log"
    config.write_text(config_of(backend, assertion=own is not None, certificate=certificate, door=door))
    module = [sys.executable, "-m", "benchmarks.gateway.serve"]
    words = [str(config), half, "own" if own else "foreign"]
    with running([*module, *words], CORE, said, environ) as process:
        yield Gateway(_ready(process, said), (process.pid,))


def _ready(process: Popen[str], said: Path) -> int:
    """Wait until the server says where it listens."""
    limit = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < limit:
        if match := READY.search(said.read_text(errors="replace")):
            return int(match[1])
        time.sleep(0.01)
    raise NotStarted(f"wsauth: {said.read_text(errors='replace')[-500:].strip()}")
