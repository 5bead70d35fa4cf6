"""The demo's own logins, standing in for an identity provider: two users, random passwords, tokens that end soon."""

import secrets
import time
from typing import Final, NamedTuple

from joserfc import jwt
from joserfc.jwk import OctKey

__all__ = ["AUDIENCE", "ISSUER", "ROLES", "Accounts", "Login"]

ISSUER: Final = "wsauth-demo"
AUDIENCE: Final = "demo"
ROLES: Final = {"alice": ["admin"], "bob": ["member"]}
_LOGINS: Final = 1000


class Login(NamedTuple):
    """Be what a good password is answered with.

    Attributes:
        subject: who.
        roles: theirs.
        renewal: opens further tokens, until the user is revoked; a secret.
    """

    subject: str
    roles: list[str]
    renewal: str


class Accounts:
    """Hold passwords, logins and the key, all made anew with each start.

    Args:
        ttl: seconds that a token lives; short, so that one sees the lease run down.

    Attributes:
        passwords: user → password, to be printed.
        secret: signs the tokens (HS256).
    """

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self.passwords = {name: secrets.token_urlsafe(9) for name in ROLES}
        self.secret = secrets.token_hex(32)
        self._key = OctKey.import_key(self.secret)
        self._logins: dict[str, str] = {}

    def login(self, username: str, password: str) -> Login | None:
        """Return the login of whoever has this password; unknown users take as long as wrong passwords."""
        expected = self.passwords.get(username, "")
        if not secrets.compare_digest(expected.encode(), password.encode()) or not expected:
            return None
        while len(self._logins) >= _LOGINS:
            del self._logins[next(iter(self._logins))]
        renewal = secrets.token_urlsafe(32)
        self._logins[renewal] = username
        return Login(username, ROLES[username], renewal)

    def renew(self, renewal: str) -> str | None:
        """Return a fresh token for a login, or `None` when it has been revoked."""
        subject = self._logins.get(renewal)
        return None if subject is None else self._token(subject)

    def revoke(self, subject: str) -> None:
        """Forget every login of a user."""
        self._logins = {renewal: name for renewal, name in self._logins.items() if name != subject}

    def _token(self, subject: str) -> str:
        now = time.time()  # with fractions: a login right after a revocation is newer than it
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "roles": ROLES[subject],
            "iat": now,
            "exp": now + self._ttl,
            "jti": secrets.token_urlsafe(12),
        }
        return jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, self._key)
