"""What addresses and identities may do, in one process."""

import logging
from ipaddress import ip_network

import pytest

from wsauth.core.blocks import Block
from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.core.throttling import Rate
from wsauth.errors import Refused
from wsauth.services.throttling import Allowances, Throttling
from wsauth.testing.clock import FakeClock

FEW = Allowances(auth_failures=Rate(3, 60.0), connects=Rate(2, 60.0), exempt=(ip_network("192.0.2.0/24"),))
ADDRESS = "198.51.100.1"


@pytest.fixture
def clock() -> FakeClock:
    """Stop the time."""
    return FakeClock()


@pytest.fixture
def throttling(clock: FakeClock) -> Throttling:
    """Make limits that are soon reached."""
    return Throttling(FEW, clock)


def token(secret: str = "forged") -> Credentials:
    """Make a token."""
    return Credentials("token", secret, source="header")


def test_strangers_are_charged_and_the_authenticated_are_not(throttling: Throttling) -> None:
    """Who authenticates gets back what their address was charged, as often as they come."""
    for _ in range(10):
        assert throttling.arrived(ADDRESS) is None
        throttling.authenticated(ADDRESS)
    assert throttling.arrived(ADDRESS) is None
    assert throttling.arrived(ADDRESS) is None
    refused = throttling.arrived(ADDRESS)
    assert refused is not None
    assert (refused.code, refused.retry_after) == ("rate_limited", 30.0)
    assert "limits.connect_per_address" in refused.mend
    assert throttling.arrived("198.51.100.2") is None


def test_an_ipv6_home_is_one_address(throttling: Throttling) -> None:
    """Another address of the same /64 brings no further attempt."""
    throttling.arrived("2001:db8::1")
    throttling.arrived("2001:db8::2")
    assert throttling.arrived("2001:db8::3") is not None
    assert throttling.arrived("2001:db8:0:1::3") is None


def test_wrong_credentials_end_in_a_limit(throttling: Throttling) -> None:
    """The fourth wrong token of an address is told to slow down, and nothing of it but the log knows why."""
    error = Refused("token_invalid", "its signature is wrong")
    told = [throttling.failed(ADDRESS, token(f"forged {each}"), error).code for each in range(4)]
    assert told == ["token_invalid", "token_invalid", "token_invalid", "rate_limited"]
    assert throttling.exhausted(ADDRESS) is not None
    assert throttling.exhausted("198.51.100.2") is None


@pytest.mark.parametrize("code", ["token_expired", "token_revoked", "session_revoked", "unavailable"])
def test_what_was_good_once_is_no_guess(throttling: Throttling, code: str) -> None:
    """Expired and revoked tokens, and those nobody could judge, are not counted as failures."""
    for each in range(10):
        assert throttling.failed(ADDRESS, token(f"old {each}"), Refused(code)).code == code
    assert throttling.exhausted(ADDRESS) is None


def test_a_dead_token_in_a_loop_is_told_to_wait(throttling: Throttling, clock: FakeClock) -> None:
    """The eleventh replay of one expired token is slowed down; another token of that address is not."""
    told = [throttling.failed(ADDRESS, token("old"), Refused("token_expired")) for _ in range(11)]
    assert [each.code for each in told] == ["token_expired"] * 10 + ["rate_limited"]
    assert told[-1].retry_after == 30.0
    assert "came again" in told[-1].reason
    assert throttling.failed(ADDRESS, token("another"), Refused("token_expired")).code == "token_expired"
    clock.advance(30)
    assert throttling.failed(ADDRESS, token("old"), Refused("token_expired")).code == "token_expired"


def test_exempt_networks_are_not_counted(throttling: Throttling) -> None:
    """An exempt address may come and fail as often as it likes."""
    for _ in range(20):
        assert throttling.arrived("192.0.2.9") is None
        assert throttling.failed("192.0.2.9", token(), Refused("token_invalid")).code == "token_invalid"


def test_ipv4_written_as_ipv6_is_exempt_too(throttling: Throttling, clock: FakeClock) -> None:
    """A server that listens on both gives the addresses so; an exempt one is neither counted nor blocked."""
    throttling.blocks.add(Block(network="192.0.2.0/24", until=None, automatic=False, reason="", created_at=clock.now()))
    assert throttling.key("::ffff:192.0.2.7") == ""
    assert throttling.kept_out("::ffff:192.0.2.7") is None
    assert throttling.kept_out("192.0.2.7") is None


def test_tickets_are_counted_by_identity(throttling: Throttling) -> None:
    """TK-10: one identity may ask for 120 tickets a minute, and another is not touched by it."""
    alice = Identity("alice", issuer="wsauth")
    assert [throttling.ticket(alice) for _ in range(120)] == [None] * 120
    refused = throttling.ticket(alice)
    assert refused is not None
    assert refused.code == "rate_limited"
    assert throttling.ticket(Identity("bob", issuer="wsauth")) is None


def test_an_undeclared_proxy_is_named_once(throttling: Throttling, caplog: pytest.LogCaptureFixture) -> None:
    """A limited peer that forwards for others is warned of, with the line to write, and only once."""
    forwarded = [(b"X-Forwarded-For", b"203.0.113.5")]
    with caplog.at_level(logging.WARNING, "wsauth"):
        for _ in range(6):
            throttling.arrived(ADDRESS, forwarded)
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"server.trusted_proxies = ['{ADDRESS}']" in line
