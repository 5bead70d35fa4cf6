"""Serve one subject on one core: `python -m benchmarks.server fastapi_plain 0` (a process of its own).

Prints the port it took on standard output; it ends by SIGTERM, or when standard input ends, so that it
never outlives who started it.
"""

import importlib
import os
import socket
import sys
import threading

import uvicorn


def watch_parent(server: uvicorn.Server) -> None:
    """Ask the server to stop when standard input ends."""

    def wait() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=wait, name="watch-parent", daemon=True).start()


class AnnouncingServer(uvicorn.Server):
    """Prints its port once the application has started and connections are accepted."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then say where."""
        await super().startup(sockets)
        for listener in sockets or []:
            print(listener.getsockname()[1], flush=True)


def main(name: str, core: int) -> None:
    """Serve the application `benchmarks.apps.<name>` on a free port of loopback, pinned to a core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    app = importlib.import_module(f"benchmarks.apps.{name}").app
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    server = AnnouncingServer(config)
    watch_parent(server)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
