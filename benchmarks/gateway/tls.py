"""Hold WebSockets over TLS: `python -m benchmarks.gateway.tls PORT CA TOKENS COUNT` until standard input ends."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

from benchmarks.generator import CORE
from benchmarks.subject import ROOT

HEAD = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Authorization: Bearer {token}\r\n\r\n"
)


@contextmanager
def hold(port: str, ca: str, tokens: str, count: int, said: Path) -> Iterator[int]:
    """Hold so many WebSockets in a process of their own until the block ends; yields how many are open."""
    command = [sys.executable, "-m", "benchmarks.gateway.tls", port, ca, tokens, str(count)]
    with said.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        line = process.stdout.readline() if process.stdout else ""
        yield int(line or 0)
    finally:
        process.communicate(timeout=30)


def opened(port: int, context: ssl.SSLContext, token: str) -> ssl.SSLSocket:
    """Return an open WebSocket.

    Raises:
        ConnectionError: the handshake was refused.
    """
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    secure = context.wrap_socket(plain, server_hostname="127.0.0.1")
    secure.sendall(HEAD.format(port=port, token=token).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        more = secure.recv(4096)
        if not more:
            raise ConnectionError(f"refused: {answer[:100]!r}")
        answer += more
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"refused: {answer[:100]!r}")
    return secure


def main(port: str, ca: str, tokens: str, count: str) -> None:
    """Open them, say how many are open, and hold them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {CORE})
    context = ssl.create_default_context(cafile=ca)
    given = islice(cycle(Path(tokens).read_text().split()), int(count))
    held = [opened(int(port), context, token) for token in given]
    print(len(held), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
