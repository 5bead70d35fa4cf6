"""The guard of every application under test, and the names that the tests share with it."""

import asyncio
import os

import msgspec

from tests.allowing import FREELY
from tests.issuing import AUDIENCE, ISSUER
from tests.leaks import secret
from wsauth import Credentials, Guard, Identity, JWTVerifier, PasswordVerifier, Route
from wsauth.core.throttling import rate

SECRET_VARIABLE = "WSAUTH_TEST_SECRET"
CLOSED_VARIABLE = "WSAUTH_TEST_CLOSED"
"""Set where every path needs a route, as on the gateway: then all other paths have one with the guard's own rules."""
PACE_VARIABLE = "WSAUTH_TEST_PACE"
"""Set to how often a client may send a message."""
PASSWORDS = "passwords"
PASSWORD = secret("correct horse battery staple", "the password")
PAGE = "https://app.example.com"
COOKIE = "login"
SLOW = "slow-"
EVERY_SOURCE = (
    "header",
    "basic",
    "cookie",
    "ticket",
    "subprotocol",
    "message",
    "insecure_query",
    "insecure_bare_subprotocol",
)
GRACE = 1.0
"""Seconds that a lease may still be renewed after its end."""
ROUTES = [
    Route("/every", sources=EVERY_SOURCE),
    Route("/header", sources=["header"]),
    Route("/anonymous", anonymous=True),
    Route("/admin", require=["chat:admin"]),
    Route("/http", refusals="http"),
    Route("/close", refusals="close"),
    Route("/elsewhere", origins=["https://elsewhere.example.com"]),
    Route("/v2", subprotocols=["chat.v2"]),
    Route("/hurried", auth_timeout=1),
    Route("/strict", auth_attempts=1),
    Route("/small", max_message=64),
    Route("/idle", idle_timeout=1),
    Route("/brief", max_connection_age=2),
    Route("/patient", grace=30),
]
"""What differs on some paths, as little as the tests need."""
REST = Route("/*")


class SlowVerifier:
    """Know the opaque tokens `slow-SECONDS-SUBJECT`, and think for so long."""

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return whose it is, later."""
        if credentials.kind != "token" or not credentials.secret.startswith(SLOW):
            return None
        _, seconds, subject = credentials.secret.split("-", 2)
        await asyncio.sleep(float(seconds))
        return Identity(subject, issuer=ISSUER)


def check_password(username: str, password: str) -> Identity | None:
    """Take one password for everybody but Mallory."""
    good = password == PASSWORD and not username.startswith("mallory")
    return Identity(username, issuer=PASSWORDS) if good else None


def make_guard() -> Guard:
    """Make a guard with these routes; leases have no leeway and a second of grace."""
    jwt = JWTVerifier(
        issuer=ISSUER, audience=AUDIENCE, secret=os.environ[SECRET_VARIABLE], leeway=0, roles="*", cookie=COOKIE
    )
    closed = CLOSED_VARIABLE in os.environ
    pace = rate(os.environ.get(PACE_VARIABLE, ""), PACE_VARIABLE)
    return Guard(
        allowances=msgspec.structs.replace(FREELY, messages=pace),
        verifiers=[jwt, PasswordVerifier(check_password), SlowVerifier()],
        origins=[PAGE],
        roles={"member": ["chat:*:read"], "admin": ["chat:**"]},
        grace=GRACE,
        auth_timeout=20,
        max_message=4 * 1024 * 1024,
        routes=[*ROUTES, REST] if closed else ROUTES,
        closed=closed,
    )
