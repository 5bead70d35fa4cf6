"""CONTRACT section 6, "Lease" and "End": what a connection holds, its renewal, and what happens when it ends."""

import asyncio
import time

import pytest

from tests.conformance.client import Site, Socket, eventually, token
from tests.issuing import ISSUER

OFFER = ["wsauth.v1"]


async def _is_stale(socket: Socket) -> None:
    await socket.hears("auth_error", code="token_expired", action="refresh", closing=False)


async def test_auth_success(chat: Site, alice: str) -> None:
    """auth_success tells the lease: who, what they may do, until when, and when to renew."""
    presented = token(alice, ttl=100, roles=["member"], scope="files:read", sid="s1")
    async with chat.open(token=presented, offers=OFFER) as socket:
        lease = await socket.hears("auth_success", issuer=ISSUER, subject=alice, roles=["member"])
        assert sorted(lease["permissions"]) == ["chat:*:read", "files:read"]
        assert 90 <= lease["expires_in"] <= 100
        assert 0.59 <= lease["renew_in"] / lease["expires_in"] <= 0.86


async def test_who_does_not_speak_wsauth_hears_nothing(chat: Site, alice: str) -> None:
    """A client that did not offer wsauth.v1 gets the application's messages only."""
    async with chat.open(token=token(alice)) as socket:
        assert await socket.ask("hello") == "hello"
        assert await socket.ask({"type": "auth", "token": "x"}) == {"type": "auth", "token": "x"}


async def test_binary_and_text_pass_as_they_are(chat: Site, alice: str) -> None:
    """Messages pass byte for byte, whatever they look like."""
    async with chat.open(token=token(alice), offers=OFFER) as socket:
        await socket.hears("auth_success")
        for message in ("é\u2028{}", b"\x00\xff" * 40_000, "x" * 100_000, '["type","auth_unknown"]', " "):
            assert await socket.ask(message) == message


async def test_renewal(chat: Site, alice: str) -> None:
    """A renewal extends the lease while messages go on; the application sees the new end."""
    async with chat.open(token=token(alice, ttl=30), offers=OFFER) as socket:
        await socket.hears("auth_success")
        before = (await socket.ask("who"))["ends"]
        await socket.auth(token(alice, ttl=200, age=5, roles=["member"]))
        lease = await socket.hears("auth_success", subject=alice, roles=["member"])
        assert lease["expires_in"] > 100
        assert (await socket.ask("who"))["ends"] > before + 100
        await chat.sees(alice, "RightsChanged")


async def test_renewal_while_the_application_does_not_read(chat: Site, alice: str) -> None:
    """A renewal is read even while the application is not reading."""
    async with chat.open("/deaf", token=token(alice, ttl=30), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await socket.auth(token(alice, ttl=200, age=5))
        lease = await socket.hears("auth_success")
        assert lease["expires_in"] > 100


async def test_older_credential_changes_nothing(chat: Site, alice: str) -> None:
    """An older credential is answered with the lease as it is."""
    async with chat.open(token=token(alice, ttl=200, age=5), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await socket.auth(token(alice, ttl=2000, age=50))
        lease = await socket.hears("auth_success")
        assert lease["expires_in"] <= 200


async def test_identity_mismatch(chat: Site, alice: str, mallory: str) -> None:
    """Mallory's good token does not take over Alice's connection, which stays open and Alice's."""
    async with chat.open(token=token(alice), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await socket.auth(token(mallory, age=1))
        await socket.hears("auth_error", code="identity_mismatch", action="stop", closing=False, attempts_left=2)
        assert (await socket.ask("who"))["subject"] == alice


async def test_failed_renewals(chat: Site, alice: str) -> None:
    """Wrong renewals leave the lease as it is until the attempts are spent."""
    async with chat.open(token=token(alice), offers=OFFER) as socket:
        await socket.hears("auth_success")
        for left in (2, 1):
            await socket.auth(token(alice) + "x")
            await socket.hears("auth_error", code="token_invalid", closing=False, attempts_left=left)
            assert await socket.ask("hello") == "hello"
        await socket.auth(token(alice) + "x")
        await socket.hears("auth_error", code="too_many_attempts", closing=True)
        await socket.closed(3000, "too_many_attempts;id=")


async def test_renewal_that_lost_the_required_permission(chat: Site, alice: str) -> None:
    """A renewal without the permission that the route requires ends the connection with 3003."""
    async with chat.open("/admin", token=token(alice, roles=["admin"]), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await socket.auth(token(alice, age=1, roles=["member"]))
        await socket.hears("auth_error", code="permission_denied", closing=True)
        await socket.closed(3003, "permission_denied;id=")


async def test_expiring(chat: Site, alice: str) -> None:
    """Who speaks wsauth is told five seconds before the end."""
    async with chat.open(token=token(alice, ttl=7), offers=OFFER) as socket:
        await socket.hears("auth_success")
        warning = await socket.hears("auth_expiring")
        assert 1 < warning["expires_in"] <= 5


async def test_end_and_renewal(chat: Site, alice: str) -> None:
    """When the lease ends nothing passes in either direction; after the renewal all of it does, in order."""
    async with chat.open("/patient", token=token(alice, ttl=1.5), offers=OFFER) as socket:
        await socket.hears("auth_success")
        assert await socket.ask("before") == "before"
        await _is_stale(socket)
        await chat.control("push", subject=alice, text="pushed")
        for number in range(10):
            await socket.say(f"held {number}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await socket.hear()
        await socket.auth(token(alice, ttl=100, age=1))
        await socket.hears("auth_success", subject=alice)
        heard = [await socket.hear() for _ in range(11)]
        assert [text for text in heard if text != "pushed"] == [f"held {number}" for number in range(10)]
        assert "pushed" in heard


async def test_end_with_much_to_say(chat: Site, alice: str) -> None:
    """What Alice says after the end waits, also beyond 16 KiB, and passes after the renewal."""
    async with chat.open("/patient", token=token(alice, ttl=1.5), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await _is_stale(socket)
        await socket.auth(f"slow-0.5-{alice}")
        sent = [f"{number} {'x' * 6_000}" for number in range(8)]
        for message in sent:
            await socket.say(message)
        await socket.hears("auth_success", subject=alice)
        assert [await socket.hear() for _ in sent] == sent


async def test_end_without_renewal(chat: Site, alice: str) -> None:
    """After the grace the connection is closed with 3000, and the application sees that."""
    async with chat.open(token=token(alice, ttl=1.5), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await _is_stale(socket)
        await socket.hears("auth_error", code="token_expired", closing=True)
        await socket.closed(3000, "token_expired;id=")
    await chat.sees(alice, ["disconnect", 3000], "OSError", "Closed")


async def test_old_token_does_not_revive(chat: Site, alice: str) -> None:
    """After the end the token that ended, or an older one, costs an attempt and revives nothing."""
    async with chat.open("/patient", token=token(alice, ttl=1.5, age=5), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await _is_stale(socket)
        await socket.auth(token(alice, ttl=100, age=50))
        await socket.hears("auth_error", code="token_expired", closing=False, attempts_left=2)
        await socket.auth(token(alice, ttl=100, age=1))
        await socket.hears("auth_success")


async def test_end_of_who_does_not_speak_wsauth(chat: Site, alice: str) -> None:
    """A client that cannot renew is closed after the grace with 3000; nothing passed in between."""
    ends = time.time() + 1.5
    async with chat.open(token=token(alice, ttl=1.5)) as socket:
        assert await socket.ask("before") == "before"

        async def over() -> bool:
            return time.time() > ends + 0.2

        await eventually(over)
        await chat.control("push", subject=alice, text="pushed")
        await socket.say("after")
        assert await socket.rest() == []
        await socket.closed(3000, "token_expired;id=")
    await chat.sees(alice, ["disconnect", 3000], "OSError")


async def test_end_while_the_application_writes(chat: Site, alice: str) -> None:
    """An application that writes all the time is stopped by the end, and its send raises OSError."""
    async with chat.open(token=token(alice, ttl=1.5)) as socket:
        await socket.say("flood 0.01")
        await socket.closed(3000, "token_expired;id=")
    await chat.sees(alice, "OSError")


async def test_max_connection_age(chat: Site, alice: str) -> None:
    """max_connection_age bounds the lease, and nothing renews past it."""
    async with chat.open("/brief", token=token(alice), offers=OFFER) as socket:
        lease = await socket.hears("auth_success")
        assert lease["expires_in"] <= 2
        await socket.auth(token(alice, ttl=2000, age=1))
        lease = await socket.hears("auth_success")
        assert lease["expires_in"] <= 2
        await socket.closed(3000, "token_expired;id=")


async def test_idle_timeout(chat: Site, alice: str) -> None:
    """Where nobody says anything for idle_timeout the connection is closed with 3008."""
    async with chat.open("/idle", token=token(alice)) as socket:
        assert await socket.ask("hello") == "hello"
        await socket.closed(3008, "idle_timeout;id=")


@pytest.mark.parametrize("offers", [[], OFFER], ids=["silent", "speaks"])
async def test_message_too_large(chat: Site, alice: str, offers: list[str]) -> None:
    """A message over max_message closes with 1009 and reaches nobody."""
    async with chat.open("/small", token=token(alice), offers=offers) as socket:
        assert (await socket.ask("x" * 64)) == "x" * 64 or await socket.hear() == "x" * 64
        await socket.say("é" * 33)
        await socket.closed(1009, "message_too_large;id=")


async def test_reserved_message_of_the_application(chat: Site, alice: str) -> None:
    """The application cannot imitate a control message towards a client that speaks wsauth."""
    async with chat.open(token=token(alice), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await socket.say('raw {"type":"auth_success","subject":"mallory"}')
        assert await socket.ask("next") == "next"
