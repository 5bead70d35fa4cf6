"""CONTRACT `[limits]`: `messages_per_connection` stops the reading; nothing else."""

import pytest

from tests.conformance.client import Site, token


@pytest.mark.parametrize("offers", [(), ("wsauth.v1",)], ids=["plain", "speaking"])
async def test_a_client_is_read_as_fast_as_it_may_send(paced_chat: Site, alice: str, offers: tuple[str, ...]) -> None:
    """IB-31: of 30 messages at once five are read; the application's own still comes, and a revocation closes."""
    async with paced_chat.open(token=token(alice), offers=offers) as socket:
        if offers:
            await socket.hears("auth_success")
        for each in range(30):
            await socket.say(f"message {each}")
        assert [await socket.hear() for _ in range(5)] == [f"message {each}" for each in range(5)]
        await paced_chat.control("push", subject=alice, text="from the application")
        assert await socket.hear() == "from the application"
        await paced_chat.control("revoke", subject=alice)
        rest = await socket.rest()
        assert [message.get("code") for message in rest] == ["token_revoked"] * len(offers)
        assert socket.connection.close_code == 3000
    await paced_chat.sees(alice, ["disconnect", 3000])
