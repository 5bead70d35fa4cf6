"""Make the files of tokens that the load generator presents."""

import time
from pathlib import Path
from uuid import uuid4

import jwt

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET

SEEN = 2_000
LIFETIME = 3_600
"""Seconds; longer than a full run."""


def make_token(number: int, now: int, secret: str = SECRET) -> str:
    """Return an HS256 token with eight claims for the user of that number; now is in seconds."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": f"user-{number}",
        "iat": now,
        "exp": now + LIFETIME,
        "jti": uuid4().hex,
        "roles": ["member"],
        "scope": "chat:lobby:read chat:lobby:send",
    }
    return jwt.encode(claims, secret, algorithm="HS256", headers={"typ": "at+jwt"})


def write_tokens(path: Path, count: int, *, forged: bool = False) -> Path:
    """Write `count` different tokens, one a line; forged ones carry a signature made with another secret."""
    now = int(time.time()) - 1
    secret = SECRET[::-1] if forged else SECRET
    path.write_text("".join(f"{make_token(number, now, secret)}\n" for number in range(count)))
    return path


class TokenFiles:
    """The three files of one run: seen (used again and again), fresh (each used once) and forged."""

    def __init__(self, folder: Path, fresh: int) -> None:
        """Write the files; `fresh` is how many handshakes one measurement may need at most."""
        self.seen = write_tokens(folder / "seen", SEEN)
        self.fresh = write_tokens(folder / "fresh", fresh)
        self.forged = write_tokens(folder / "forged", SEEN, forged=True)
