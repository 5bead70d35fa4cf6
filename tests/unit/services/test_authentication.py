"""`wsauth.services.authentication`: who is asked, in which order, and when nobody has to be waited for."""

import json
import time
from base64 import urlsafe_b64encode

import pytest

from tests.issuing import AUDIENCE, ISSUER, SECRET, claims, signed
from wsauth import Credentials, Identity, JWTVerifier, Refused
from wsauth.interfaces.tickets import Tickets
from wsauth.services.authentication import Authentication

SECOND = "https://second.example.com"


class Waiting:
    """Know one token, after asking somebody."""

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return Bob for his token."""
        return Identity("bob", issuer=SECOND) if credentials.secret == "bobs" else None


class Broken:
    """Fail, whatever is asked."""

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Fail."""
        raise RuntimeError

    def judge(self, credentials: Credentials) -> Identity | None:
        """Fail."""
        raise RuntimeError


class NoTickets:
    """Redeem nothing."""

    async def redeem(self, ticket: str, path: str, origin: str) -> Identity:
        """Refuse."""
        raise Refused("ticket_invalid")


def jwt() -> JWTVerifier:
    """Return a verifier that has its key."""
    return JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=SECRET, roles="*")


def asked(*verifiers: object) -> Authentication:
    """Return an authentication that asks these."""
    tickets: Tickets = NoTickets()  # type: ignore[assignment]  # it issues none
    return Authentication(verifiers, tickets)  # type: ignore[arg-type]  # some are broken on purpose


def presented(secret: str, cookie: str = "") -> Credentials:
    """Return a token in the header."""
    return Credentials("token", secret, source="header", cookie=cookie)


def token() -> str:
    """Return Alice's token."""
    return signed(claims(sub="alice", iat=time.time(), exp=time.time() + 60))


def test_a_token_is_judged_at_once_where_its_key_is_here() -> None:
    """Neither a task nor a time limit is needed to verify a signature."""
    verdict = asked(jwt()).judge(presented(token()))
    assert isinstance(verdict, Identity)
    assert verdict.subject == "alice"


def test_a_bad_token_is_refused_at_once() -> None:
    """With the same code that waiting would have brought."""
    verdict = asked(jwt()).judge(presented(token()[:-4] + "AAAA"))
    assert isinstance(verdict, Refused)
    assert verdict.code == "token_invalid"


def test_what_nobody_takes_is_refused_at_once() -> None:
    """Where nobody has to be awaited, all have spoken."""
    verdict = asked(jwt()).judge(presented("opaque"))
    assert isinstance(verdict, Refused)
    assert verdict.code == "token_invalid"


@pytest.mark.parametrize("first", [Waiting(), Broken()])
def test_whoever_comes_first_is_asked_first(first: object) -> None:
    """A verifier that has to be awaited, or fails, is not passed over for one that is quicker."""
    assert asked(first, jwt()).judge(presented(token())) is None


async def test_whoever_is_awaited_is_asked_about_the_rest() -> None:
    """What the prompt ones do not take is not refused before the others were asked."""
    authentication = asked(jwt(), Waiting())
    assert authentication.judge(presented("bobs")) is None
    assert (await authentication.verify(presented("bobs"), "/ws", "")).subject == "bob"
    assert isinstance(authentication.judge(presented(token())), Identity)


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("ticket", "t", source="ticket"),
        Credentials("password", "p", source="basic", username="alice"),
        presented(token(), cookie="login"),
    ],
)
def test_only_tokens_are_judged_at_once(credentials: Credentials) -> None:
    """A ticket is burnt, a password hashed, and a cookie may be a session of the store."""
    assert asked(jwt()).judge(credentials) is None


def test_keys_that_must_be_fetched_are_waited_for() -> None:
    """A verifier without its keys judges nothing at once, and refuses nothing either."""
    remote = JWTVerifier(issuer=ISSUER, audience=AUDIENCE, jwks_url="http://127.0.0.1:9/jwks.json")
    header = {"alg": "RS256", "typ": "JWT", "kid": "k"}
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 60}
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, body)]
    assert asked(remote).judge(presented(".".join((*parts, "AAAA")))) is None
