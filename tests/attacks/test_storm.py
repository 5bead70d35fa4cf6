"""ATTACKS.md, IB-35: everybody comes back at once, after a restart for instance."""

import asyncio
import time

from tests.allowing import FREELY
from tests.attacks.wire import frame, request, wire
from tests.end_to_end.guarded import serving
from tests.issuing import AUDIENCE, claims, provider, public_jwk, signed
from wsauth import Guard, JWTVerifier

CROWD = 1_000
"""Clients; the machine that runs the tests may be small."""


async def reconnect(port: int, crowd: list[str]) -> list[str]:
    """Connect with all these tokens at once, and return what each client hears."""

    async def one(presented: str) -> str:
        async with wire(port, request("/ws", f"Authorization: Bearer {presented}")) as client:
            answer = await client.answer(within=30)
            if answer.status != 101:
                return f"{answer.status} {answer.code}"
            client.send(frame("hello"))
            return await client.text(within=30)

    return await asyncio.gather(*(one(each) for each in crowd))


def tokens(issuer: str, key: str) -> list[str]:
    """Return a token for each of the crowd, signed with this key."""
    now = int(time.time())
    return [
        signed(
            claims(iss=issuer, sub=f"user-{number}", iat=now, exp=now + 300, jti=f"{key}-{number}"),
            "ES256",
            key,
            kid=key,
        )
        for number in range(CROWD)
    ]


async def test_ib_35_a_thousand_that_reconnect_ask_for_the_keys_once() -> None:
    """All are let in, and the issuer hears of it once, also when its keys are others than a moment ago."""
    async with provider() as issuer:
        issuer.publish(public_jwk("ES256", "one", kid="one"))
        verifier = JWTVerifier(issuer=issuer.url, audience=AUDIENCE, jwks_url=f"{issuer.url}/jwks")
        async with serving(Guard(verifiers=[verifier], origins=[], allowances=FREELY)) as place:
            port = int(place.rpartition(":")[2])
            assert await reconnect(port, tokens(issuer.url, "one")) == ["hello"] * CROWD
            assert issuer.asked == ["/jwks"]
