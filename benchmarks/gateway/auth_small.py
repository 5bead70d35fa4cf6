"""Answer nginx's `auth_request` with as little as it takes, on uvloop; prints its port."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from typing import cast

import uvloop

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET
from benchmarks.gateway.listener import announced

KEY = SECRET.encode()
NO = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
BEARER = b"\r\nauthorization: bearer "


def subject_of(token: bytes) -> str | None:
    """Return the subject of a good HS256 token."""
    try:
        signed, _, signature = token.rpartition(b".")
        head, _, body = signed.partition(b".")
        digest = hmac.digest(KEY, signed, "sha256")
        if not hmac.compare_digest(digest, urlsafe_b64decode(signature + b"=")):
            return None
        if json.loads(urlsafe_b64decode(head + b"==")).get("alg") != "HS256":
            return None
        claims = json.loads(urlsafe_b64decode(body + b"=="))
    except (ValueError, Base64Error):
        return None
    good = claims.get("iss") == ISSUER and claims.get("aud") == AUDIENCE and claims.get("exp", 0) > time.time()
    return claims.get("sub") if good else None


class Answering(asyncio.Protocol):
    """Answer requests without a body, one after the other on a connection that is kept."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self.data = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            self.transport.write(answer(self.data[:end]))
            self.data = self.data[end + 4 :]


def answer(head: bytes) -> bytes:
    """Return the answer to a request: 204 with the subject, or 401."""
    at = head.lower().find(BEARER)
    token = head[at + len(BEARER) :].partition(b"\r\n")[0] if at >= 0 else b""
    subject = subject_of(token)
    return NO if subject is None else b"HTTP/1.1 204 No Content\r\nX-Subject: %s\r\n\r\n" % subject.encode()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Answering, sock=announced(), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
