"""Build the guard of the subjects with wsauth, as the documentation tells it."""

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET
from wsauth import Guard, JWTVerifier
from wsauth.core.throttling import Rate
from wsauth.services.throttling import Allowances

_MANY = 1_000_000_000
_RAISED = Allowances(
    auth_failures=Rate(_MANY, 1.0),
    connects=Rate(_MANY, 1.0),
    unauthenticated_per_address=_MANY,
    unauthenticated=_MANY,
    per_identity=_MANY,
)
"""All load comes from one address, and much of it is one identity's: the limits are raised, and looked at as always."""


def make_guard() -> Guard:
    """Build a guard with every default but the limits' numbers, for HS256 tokens of one issuer."""
    return Guard(
        verifiers=[JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=SECRET)], origins=[], allowances=_RAISED
    )
