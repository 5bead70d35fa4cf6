"""Rates, networks and counters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsauth.core.throttling import Bucket, Buckets, Rate, network_of, rate
from wsauth.errors import ConfigurationError


@pytest.mark.parametrize(
    ("written", "expected"),
    [("20/m", Rate(20, 60.0)), ("100/10m", Rate(100, 600.0)), ("5/s", Rate(5, 1.0)), ("", None), ("0", None)],
)
def test_a_rate_is_a_count_in_seconds(written: str, expected: Rate | None) -> None:
    """A count, a stroke and a duration; nothing is off."""
    assert rate(written, "limits.x") == expected


@pytest.mark.parametrize("written", ["20", "m", "20/", "0/m", "-1/m", "20/0m", "20/w", "1.5/m", " 20/m"])
def test_what_is_no_rate_is_named(written: str) -> None:
    """The error names key and value, and shows how it is written."""
    with pytest.raises(ConfigurationError, match=r'limits\.x = .* is not a rate such as "20/m"'):
        rate(written, "limits.x")


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix", "unix"),
    ],
)
def test_an_address_counts_as_its_network(address: str, counted: str) -> None:
    """One customer's IPv6 addresses are one, since they choose 64 bits of them."""
    assert network_of(address) == counted


def test_a_full_bucket_says_when_there_is_room() -> None:
    """The third within a rate of two waits until one has leaked out, and is not counted."""
    buckets = Buckets(Rate(2, 60.0))
    assert [buckets.charge("a", 0.0), buckets.charge("a", 0.0), buckets.charge("a", 0.0)] == [0.0, 0.0, 30.0]
    assert buckets.charge("b", 0.0) == 0.0
    assert buckets.charge("a", 29.0) == pytest.approx(1.0)
    assert buckets.charge("a", 30.0) == 0.0


def test_a_bucket_is_used_up_at_once_and_fills_evenly() -> None:
    """All of a rate may come at once; then each time waits for its share of the seconds."""
    bucket = Bucket(Rate(4, 2.0))
    assert (bucket.left(9.0), bucket.wait(9.0)) == (4, 0.0)
    bucket.charge(4, 9.0)
    assert (bucket.left(9.0), bucket.wait(9.0)) == (0, 0.5)
    assert (bucket.left(9.25), bucket.wait(9.25)) == (0, 0.25)
    assert (bucket.left(9.5), bucket.wait(9.5)) == (1, 0.0)
    assert bucket.left(11.0) == bucket.left(1e9) == 4


def test_a_clock_that_goes_back_fills_no_bucket() -> None:
    """What was counted stays counted."""
    bucket = Bucket(Rate(1, 1.0))
    bucket.charge(1, 9.0)
    assert (bucket.left(8.0), bucket.wait(8.0)) == (0, 1.0)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 9)), max_size=60))
def test_whoever_waits_as_told_may(steps: list[tuple[float, int]]) -> None:
    """After the wait there is one left, and never more than the rate allows since the first."""
    bucket, now, taken = Bucket(Rate(7, 3.0)), 0.0, 0
    for pause, wanted in steps:
        now += pause + bucket.wait(now + pause)
        left = bucket.left(now)
        assert left >= 1
        bucket.charge(min(left, wanted), now)
        taken += min(left, wanted)
        assert taken <= 7 + now * 7 / 3 + 1e-6


def test_what_is_given_back_is_forgotten() -> None:
    """A bucket that is empty again takes no memory."""
    buckets = Buckets(Rate(2, 60.0))
    buckets.charge("a", 0.0)
    buckets.give_back("a", 0.0)
    buckets.give_back("a", 0.0)
    assert len(buckets) == 0


def test_junk_evicts_nobody_who_is_limited() -> None:
    """PW-17: however many others come by, who has used up their rate stays limited, and memory has an end."""
    buckets = Buckets(Rate(2, 60.0), limit=100)
    buckets.charge("mallory", 0.0)
    buckets.charge("mallory", 0.0)
    for each in range(10_000):
        buckets.charge(f"junk {each}", 0.0)
    assert buckets.charge("mallory", 0.0) > 0
    assert len(buckets) <= 101


@given(st.lists(st.floats(0, 50), min_size=1, max_size=60))
def test_no_window_holds_more_than_twice_the_rate(pauses: list[float]) -> None:
    """Whatever the pauses, within one window at most the burst and what leaked meanwhile is allowed."""
    buckets, now, allowed = Buckets(Rate(5, 60.0)), 0.0, []
    for pause in pauses:
        now += pause
        if not buckets.charge("a", now):
            allowed.append(now)
    for begun in allowed:
        assert sum(begun <= each < begun + 60.0 for each in allowed) <= 10
