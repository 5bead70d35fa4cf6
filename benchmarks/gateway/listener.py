"""The socket of a server that somebody else has to find."""

import socket


def announced() -> socket.socket:
    """Return a socket that listens on a free port of loopback, after printing the port."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    listening.listen(4096)
    print(listening.getsockname()[1], flush=True)
    return listening
