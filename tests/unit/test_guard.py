"""What a guard says of itself and does on its own, without a server."""

import pytest

from tests.issuing import SECRET, SteppedClock
from wsauth import ConfigurationError, Guard, Identity, JWTVerifier, Refused


def nameless(clock: SteppedClock) -> Guard:
    """Return a guard whose tokens name no issuer, and may live for thirty days."""
    verifier = JWTVerifier(issuer=None, audience=None, secret=SECRET, name="tutorial", max_ttl="30d", clock=clock)
    return Guard(verifiers=[verifier], origins=[], clock=clock)


async def test_a_revocation_outlives_the_tokens_of_an_issuer_that_is_not_checked() -> None:
    """What is revoked stays so for as long as a token may live, leeway included, also where `name` is the issuer."""
    clock = SteppedClock()
    guard = nameless(clock)
    await guard.revoke(subject="mallory")
    issued = clock.now() + 20
    mallory = Identity("mallory", issuer="tutorial", claims={"iat": issued})
    for _ in range(2_000):
        await guard.revoke(token_id=f"other-{_}")
    clock.advance(29 * 86_400)
    for _ in range(4_000):
        await guard.revoke(token_id=f"another-{_}")
    found = guard.connections.revocations.check(mallory, issued)
    assert isinstance(found, Refused)
    assert found.code == "token_revoked"


async def test_nobody_is_disconnected_by_two_names() -> None:
    """One order names one thing."""
    guard = nameless(SteppedClock())
    with pytest.raises(ConfigurationError, match="exactly one"):
        await guard.disconnect(subject="alice", session_id="s")
    with pytest.raises(ConfigurationError, match="exactly one"):
        await guard.revoke()


@pytest.mark.parametrize("seconds", [float("inf"), -1.0, float("nan")])
async def test_retry_after_is_a_number_of_seconds(seconds: float) -> None:
    """What no client could wait for is refused."""
    with pytest.raises(ConfigurationError, match="retry_after"):
        await nameless(SteppedClock()).disconnect(subject="alice", retry_after=seconds)
