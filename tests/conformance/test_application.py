"""CONTRACT section 9: what an application does itself, before and after it accepts, and how that looks to a client."""

import pytest

from tests.apps.guarding import PAGE
from tests.conformance.client import Site, Socket, token

OFFER = ["wsauth.v1"]


async def _in_band(socket: Socket, alice: str, *, asked_first: bool = False) -> None:
    """Authenticate; `asked_first`: the application says no before anybody hears that this was good."""
    await socket.hears("auth_required")
    await socket.auth(token(alice))
    if not asked_first:
        await socket.hears("auth_success", subject=alice)


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("close", 403, "permission_denied"),
        ("401", 401, "credentials_invalid"),
        ("403", 403, "permission_denied"),
        ("500", 500, ""),
        ("raise", 0, ""),
        ("return", 0, ""),
    ],
)
async def test_no_before_the_accept(chat: Site, alice: str, what: str, status: int, code: str) -> None:
    """What the application says before it accepts is what the client gets, as far as the server can say it."""
    if chat.difference.upstream:
        code, status = (code, status) if code else ("upstream_unavailable", 502)
        refusal = await chat.says_no(code, status, 0, f"/before/{what}", token=token(alice))
        assert "the application says no" not in str(refusal.body)
        return
    refusal = await chat.refused(f"/before/{what}", token=token(alice))
    if what == "raise" or (what == "return" and chat.difference.denies):
        status = chat.difference.broken
    elif not chat.difference.denies:
        status = 403
    assert (refusal.status, refusal.close) == (status, 0), vars(refusal)
    assert refusal.body == {}


async def test_missing_permission_before_the_accept(chat: Site, alice: str) -> None:
    """An uncaught PermissionDenied before the accept is wsauth's own 403, or 3003 for a page."""
    await chat.says_no("permission_denied", 403, 3003, "/before/require", token=token(alice))
    await chat.shows_no("permission_denied", 3003, "/before/require", token=token(alice), origin=PAGE)


@pytest.mark.parametrize(
    ("what", "code", "close"),
    [
        ("close", "permission_denied", 3003),
        ("401", "credentials_invalid", 3000),
        ("403", "permission_denied", 3003),
        ("404", "unavailable", 1011),
        ("500", "unavailable", 1011),
        ("require", "permission_denied", 3003),
    ],
)
async def test_no_in_band(chat: Site, alice: str, what: str, code: str, close: int) -> None:
    """After in-band authentication 401 becomes 3000, 403 and a close 3003, the rest 1011, each after auth_error."""
    code, close = chat.difference.failed(code, close)
    async with chat.open(f"/before/{what}") as socket:
        await _in_band(socket, alice, asked_first=chat.difference.upstream)
        await socket.hears("auth_error", code=code, closing=True)
        await socket.closed(close, f"{code};id=")


async def test_no_in_band_before_any_accept(chat: Site, alice: str) -> None:
    """After in-band authentication an application that raises or returns at once ends with 1011 or 1000."""
    for what, close in (("raise", 1011), ("return", 1000)):
        async with chat.open(f"/before/{what}") as socket:
            await _in_band(socket, alice, asked_first=chat.difference.upstream)
            await socket.closed(1013 if chat.difference.upstream else close)


@pytest.mark.parametrize("source", ["header", "in-band"])
@pytest.mark.parametrize(
    ("command", "close", "reason"),
    [
        ("close 4001", 4001, "the application's"),
        ("close 1000", 1000, "the application's"),
        ("close 1001", 1001, "the application's"),
        ("close-by-connection 4002", 4002, "the connection's"),
        ("return", 1000, ""),
        ("raise", 1011, ""),
        ("require nobody:has:this", 3003, "permission_denied;id="),
    ],
)
async def test_ending_of_the_application(  # noqa: PLR0917  pytest gives parameters by name
    chat: Site, alice: str, command: str, close: int, reason: str, source: str
) -> None:
    """The application's own end closes as it says; returning is 1000, raising 1011, a missing permission 3003."""
    async with chat.open(token=token(alice) if source == "header" else "") as socket:
        if source == "in-band":
            await _in_band(socket, alice)
        await socket.say(command)
        await socket.closed(close, reason)
    await chat.sees(alice, "Connected", "Closed")


@pytest.mark.parametrize("command", ["require nobody:has:this", "close 4001"])
async def test_speaking_client_is_told_of_ours_only(chat: Site, alice: str, command: str) -> None:
    """auth_error comes before a close of wsauth's, and not before one of the application's."""
    async with chat.open(token=token(alice), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await socket.say(command)
        messages = await socket.rest()
        codes = [message["code"] for message in messages]
        assert codes == (["permission_denied"] if command.startswith("require") else [])


async def test_refused_message(chat: Site, alice: str) -> None:
    """connection.refuse answers the message, by its number, and keeps the connection open."""
    async with chat.open(token=token(alice), offers=OFFER) as socket:
        await socket.hears("auth_success")
        assert await socket.ask("first") == "first"
        await socket.say("refuse message_invalid")
        refused = await socket.hears("auth_refused", code="message_invalid", message=2, detail="room: is required")
        assert len(refused["id"]) == 12
        assert await socket.ask("third") == "third"


async def test_refused_message_of_who_does_not_speak_wsauth(chat: Site, alice: str) -> None:
    """A client that does not speak wsauth is not told, and goes on."""
    async with chat.open(token=token(alice)) as socket:
        await socket.say("refuse message_invalid")
        assert await socket.ask("next") == "next"


async def test_too_many_refused_messages(chat: Site, alice: str) -> None:
    """After ten refused messages in a minute the connection is closed with 1008."""
    async with chat.open(token=token(alice), offers=OFFER) as socket:
        await socket.hears("auth_success")
        for _ in range(11):
            await socket.say("refuse message_invalid")
        await socket.closed(1008, "message_invalid;id=")


async def test_close_of_the_client(chat: Site, alice: str) -> None:
    """The application sees the client's own close code where the server tells it; the guard forgets it."""
    before = await chat.control("count")
    async with chat.open(token=token(alice)) as socket:
        assert await socket.ask("hello") == "hello"
        await socket.connection.close(4999, "bye")
    await chat.sees(alice, ["disconnect", 4999 if chat.difference.codes else 1006], "Closed")
    await chat.forgets(before)


async def test_vanished_client(chat: Site, alice: str) -> None:
    """A client whose TCP connection is gone is seen as gone, and forgotten."""
    before = await chat.control("count")
    async with chat.open(token=token(alice), offers=OFFER) as socket:
        await socket.hears("auth_success")
        socket.connection.transport.abort()
    await chat.sees(alice, "Closed")
    await chat.forgets(before)
