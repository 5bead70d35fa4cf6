"""A webhook receiver on loopback, in a thread: Python's own HTTP server, and the library of Standard Webhooks."""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

__all__ = ["SECRET", "Receiver", "free_port", "receiving"]

SECRET = f"whsec_{b64encode(b'a secret that both sides have').decode()}"


class Receiver:
    """Be what came in.

    Attributes:
        answers: statuses to answer with, in order; afterwards 204.
        stall: seconds before an answer.
        tried: the id of every request, in order.
        taken: the alerts that were answered with 2xx and were signed, in order.
    """

    def __init__(self, port: int = 0) -> None:
        self.answers: list[int] = []
        self.stall = 0.0
        self.tried: list[str] = []
        self.taken: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self.handle))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def handle(self, headers: dict[str, str], body: bytes) -> int:
        """Take a request, and return the status of its answer."""
        self.tried.append(headers["webhook-id"])
        time.sleep(self.stall)
        status = self.answers.pop(0) if self.answers else 204
        if 200 <= status < 300:
            self.taken.append(Webhook(SECRET).verify(body, headers))
        return status

    @contextmanager
    def running(self) -> Generator["Receiver"]:
        """Answer, in a thread."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@contextmanager
def receiving(port: int = 0) -> Generator[Receiver]:
    """Run a receiver."""
    with Receiver(port).running() as receiver:
        yield receiver


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _handler(handle: Callable[[dict[str, str], bytes], int]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(handle({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    return Handler
