"""The credentials of the cast, known to the attacked application and to the tests."""

import time
from secrets import token_hex
from typing import Any

import jwt

from tests.leaks import secret as note

ISSUER = "https://login.example.com"
AUDIENCE = "chat"
SECRET = "the secret of the attack tests, 32 bytes and more"
ORIGIN = "https://app.example.com"
COOKIE = "__Host-login"
PASSWORDS = {"alice": "correct horse battery staple", "bob": "bob's own long password"}

note(SECRET, "the key of the attack tests")
for _name, _password in PASSWORDS.items():
    note(_password, f"{_name}'s password")


def token(subject: str = "alice", *, secret: str = SECRET, **changes: Any) -> str:
    """Return a token of the issuer's; a claim that is `None` is left out."""
    now = int(time.time())
    every = {"iss": ISSUER, "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 3600, "jti": token_hex(16)}
    claims = {name: value for name, value in (every | changes).items() if value is not None}
    return jwt.encode(claims, secret, "HS256", headers={"typ": "at+jwt"})
