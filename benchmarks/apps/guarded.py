"""Build the guard of the subjects with wsauth, as the documentation tells it."""

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET
from wsauth import Guard, JWTVerifier


def make_guard() -> Guard:
    """Build a guard with every default on, for HS256 tokens of one issuer."""
    return Guard(verifiers=[JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=SECRET)], origins=[])
