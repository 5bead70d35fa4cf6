"""Keeping an issuer's keys, against a real server and with a clock that the test moves."""

import asyncio
import logging
from typing import Any

import pytest

from tests.issuing import SECRET, SteppedClock, base64url, eventually, provider, public_jwk, response
from wsauth.core.tokens.keys import ASYMMETRIC
from wsauth.errors import ConfigurationError, Refused
from wsauth.services.keys import keysets
from wsauth.services.keys.keysets import COOLDOWN, LIFETIME, MAX_STALE, RemoteKeys

OLD = public_jwk("ES256", "old", kid="old")
NEW = public_jwk("ES256", "new", kid="new")
DISCOVERY = "/.well-known/openid-configuration"


class Kept:
    """Hold remote keys with their clock and how often a key was taken away."""

    def __init__(self, **settings: Any) -> None:
        self.clock = SteppedClock()
        self.removals = 0
        names: dict[str, Any] = {"jwks_url": "", "issuer": "", "allowed": ASYMMETRIC, "clock": self.clock}
        self.keys = RemoteKeys(**names | settings, on_removed=self.removed)

    def removed(self) -> None:
        """Count a removal."""
        self.removals += 1

    def ids(self) -> set[str | None]:
        """Return the ids of the keys that are good now."""
        return {key.key_id for key in self.keys.current.keys}

    async def refused(self, key_id: str | None = None) -> Refused:
        """Return why there are no keys."""
        with pytest.raises(Refused) as refused:
            await self.keys.obtain(key_id)
        return refused.value


async def test_the_set_of_a_url_is_fetched_once() -> None:
    """Two hundred handshakes at once, and those after them, share one request."""
    async with provider() as it:
        it.publish(OLD)
        kept = Kept(jwks_url=f"{it.url}/jwks")
        await asyncio.gather(*(kept.keys.obtain("old") for _ in range(200)))
        await kept.keys.obtain(None)
        assert it.asked == ["/jwks"]
        assert kept.ids() == {"old"}
        await kept.keys.aclose()


async def test_discovery_finds_the_set() -> None:
    """Without a URL the issuer's document says where the set is."""
    async with provider() as it:
        it.publish(OLD)
        kept = Kept(issuer=it.url)
        await kept.keys.start()
        assert it.asked == [DISCOVERY, "/jwks"]
        assert kept.ids() == {"old"}
        await kept.keys.aclose()


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example"},
        {"issuer": "{url}/"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": 7},
        {"jwks_uri": "http://evil.example/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "{url}/missing"},
    ],
)
async def test_a_document_that_does_not_fit_gives_no_keys(changes: dict[str, Any]) -> None:
    """The issuer is compared exactly, and the set's address must be one that may be fetched."""
    async with provider() as it:
        it.publish(OLD)
        for name, value in changes.items():
            it.answers[DISCOVERY][name] = value.format(url=it.url) if isinstance(value, str) else value
        kept = Kept(issuer=it.url)
        assert (await kept.refused("old")).code == "unavailable"
        assert "/jwks" not in it.asked
        await kept.keys.aclose()


async def test_a_provider_elsewhere_cannot_send_us_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An `https` issuer whose document names a loopback address in plain http gives no keys."""
    asked = []

    async def fetch(url: str) -> dict[str, Any]:
        asked.append(url)
        return {"issuer": "https://login.example.com", "jwks_uri": "http://127.0.0.1:9/jwks"}

    monkeypatch.setattr(keysets, "fetch", fetch)
    kept = Kept(issuer="https://login.example.com")
    assert (await kept.refused("old")).code == "unavailable"
    assert asked == [f"https://login.example.com{DISCOVERY}"]
    await kept.keys.aclose()


def test_a_url_that_may_not_be_fetched_stops_the_start() -> None:
    """Plain http to elsewhere is refused when the verifier is made."""
    with pytest.raises(ConfigurationError, match="jwks_url"):
        Kept(jwks_url="http://login.example.com/jwks")
    with pytest.raises(ConfigurationError, match="issuer"):
        Kept(issuer="http://login.example.com")


async def test_a_set_is_fetched_again_in_time_by_itself() -> None:
    """After the set's lifetime a new one comes without any token asking, and a lost key is reported."""
    async with provider() as it:
        it.publish(OLD, NEW)
        kept = Kept(jwks_url=f"{it.url}/jwks")
        await kept.keys.start()
        it.publish(NEW)
        kept.clock.advance(LIFETIME - 1)
        assert (len(it.asked), kept.removals) == (1, 0)
        kept.clock.advance(1)
        await eventually(lambda: kept.ids() == {"new"})
        assert (len(it.asked), kept.removals) == (2, 1)
        await kept.keys.aclose()


async def test_a_new_key_is_no_removal() -> None:
    """Adding a key leaves what is known about others alone."""
    async with provider() as it:
        it.publish(OLD)
        kept = Kept(jwks_url=f"{it.url}/jwks")
        await kept.keys.start()
        it.publish(OLD, NEW)
        kept.clock.advance(LIFETIME)
        await eventually(lambda: kept.ids() == {"old", "new"})
        assert kept.removals == 0
        await kept.keys.aclose()


async def test_an_unknown_id_asks_once_in_a_while() -> None:
    """An id that is not in the set is looked for, at most once in each cooldown, by however many tokens."""
    async with provider() as it:
        it.publish(OLD)
        kept = Kept(jwks_url=f"{it.url}/jwks")
        await kept.keys.start()
        for _ in range(50):
            await kept.keys.obtain("new")
        assert len(it.asked) == 1
        kept.clock.advance(COOLDOWN)
        it.publish(OLD, NEW)
        sets = await asyncio.gather(*(kept.keys.obtain(f"x{n}") for n in range(50)), kept.keys.obtain("new"))
        assert len(it.asked) == 2
        assert sets[-1].choose("ES256", "new") is not None
        await kept.keys.aclose()


async def test_keys_outlive_an_outage_and_not_for_ever() -> None:
    """While the provider is down the last set is good, until it is too old; then nothing is."""
    async with provider() as it:
        it.publish(OLD)
        kept = Kept(jwks_url=f"{it.url}/jwks")
        await kept.keys.start()
        fetched = kept.clock.now()
        assert kept.keys.good_until == fetched + MAX_STALE
        it.break_down()
        kept.clock.advance(LIFETIME)
        await eventually(lambda: len(it.asked) == 2)
        assert (await kept.keys.obtain("old")).choose("ES256", "old") is not None
        kept.clock.advance(MAX_STALE - LIFETIME - 1)
        assert kept.ids() == {"old"}
        kept.clock.advance(1)
        assert kept.ids() == set()
        assert (await kept.refused("old")).code == "unavailable"
        await kept.keys.aclose()


async def test_it_tries_again_faster_while_there_are_no_keys(caplog: pytest.LogCaptureFixture) -> None:
    """At the start the wait grows from one second; who comes meanwhile is told when to come back."""
    async with provider() as it:
        kept = Kept(jwks_url=f"{it.url}/jwks")
        with caplog.at_level(logging.WARNING, "wsauth"):
            await kept.keys.start()
        assert "404" in caplog.text
        assert (await kept.refused()).retry_after == 1.0
        assert len(it.asked) == 1
        for wait, times in ((1, 2), (2, 3), (4, 4), (8, 5), (16, 6), (30, 7), (30, 8)):
            kept.clock.advance(wait - 0.01)
            assert (await kept.refused()).code == "unavailable"
            assert len(it.asked) == times - 1
            kept.clock.advance(0.01)
            assert (await kept.refused()).code == "unavailable"
            assert len(it.asked) == times
        it.publish(OLD)
        kept.clock.advance(30)
        await eventually(lambda: kept.ids() == {"old"})
        await kept.keys.aclose()


@pytest.mark.parametrize("answer", [response(b"<html>"), response(b"{}"), response(b'{"keys":"x"}')])
async def test_nonsense_takes_no_keys_away(answer: bytes) -> None:
    """A page of a proxy instead of a set is an outage and no removal."""
    async with provider() as it:
        it.publish(OLD)
        kept = Kept(jwks_url=f"{it.url}/jwks")
        await kept.keys.start()
        it.answers["/jwks"] = answer
        kept.clock.advance(LIFETIME)
        await eventually(lambda: len(it.asked) == 2)
        await kept.keys.obtain("other")
        assert (kept.ids(), kept.removals) == ({"old"}, 0)
        await kept.keys.aclose()


async def test_an_empty_set_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    """A provider that takes all its keys away means it, and the log says that none is left."""
    async with provider() as it:
        it.publish(OLD)
        kept = Kept(jwks_url=f"{it.url}/jwks")
        await kept.keys.start()
        it.publish()
        with caplog.at_level(logging.WARNING, "wsauth"):
            kept.clock.advance(LIFETIME)
            await eventually(lambda: kept.removals == 1)
        assert (await kept.refused("old")).code == "unavailable"
        assert "no key that can be used" in caplog.text
        await kept.keys.aclose()


async def test_secrets_and_weak_keys_of_a_fetched_set_are_not_used() -> None:
    """A symmetric key, a private key and a weak one are passed over, and the good one stays."""
    secret = {"kty": "oct", "k": base64url(SECRET.encode()), "kid": "s"}
    async with provider() as it:
        it.publish(secret, OLD, public_jwk("RS256", kid="w", e="AQ"), public_jwk("EdDSA", kid="p", d="AA"))
        kept = Kept(jwks_url=f"{it.url}/jwks")
        await kept.keys.start()
        assert kept.ids() == {"old"}
        await kept.keys.aclose()


async def test_who_leaves_takes_the_request_from_nobody() -> None:
    """A handshake that is given up does not end the request that others wait for."""
    async with provider() as it:
        gate, kept = asyncio.Event(), Kept(jwks_url=f"{it.url}/jwks")
        it.publish(OLD)
        it.gates["/jwks"] = gate
        leaving = asyncio.create_task(kept.keys.obtain("old"))
        staying = asyncio.create_task(kept.keys.obtain("old"))
        await eventually(lambda: len(it.asked) == 1)
        leaving.cancel()
        gate.set()
        assert (await staying).choose("ES256", "old") is not None
        assert len(it.asked) == 1
        await kept.keys.aclose()


async def test_closing_ends_a_request_and_the_timer() -> None:
    """After `aclose` nothing runs and nothing is asked any more."""
    async with provider() as it:
        it.answers["/jwks"] = None
        kept = Kept(jwks_url=f"{it.url}/jwks")
        starting = asyncio.create_task(kept.keys.start())
        await eventually(lambda: len(it.asked) == 1)
        await kept.keys.aclose()
        await starting
        kept.clock.advance(LIFETIME)
        await asyncio.sleep(0)
        assert len(it.asked) == 1


async def test_a_set_that_is_overdue_is_fetched_before_it_is_used() -> None:
    """A timer that was lost with its loop, or slept through, does not keep a removed key alive."""
    async with provider() as it:
        it.publish(OLD)
        kept = Kept(jwks_url=f"{it.url}/jwks")
        await kept.keys.start()
        it.publish(NEW)
        kept.clock.lose_timers()
        kept.clock.advance(LIFETIME + COOLDOWN + 1)
        assert (await kept.keys.obtain("old")).choose("ES256", "old") is None
        await kept.keys.aclose()
