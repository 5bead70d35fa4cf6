"""When a password may be tried: the policy, on what is remembered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsauth.core.lockout import Count, Keys, Policy, counted_name
from wsauth.core.throttling import Rate
from wsauth.errors import Refused

POLICY = Policy(rate=None, after=3, lasts=900.0)


class World:
    """Remember, and try passwords."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.counts: dict[str, Count] = {}
        self.now = 0.0

    def keys(self, network: str = "a", name: str = "alice", device: str = "") -> Keys:
        """Name the counters of an attempt from a network."""
        return Keys(address=f"address:{network}", here=f"{name}:at {network}", account=f"{name}:", device=device)

    def settle(self, change: dict[str, Count | None]) -> None:
        """Remember a change."""
        for key, count in change.items():
            if count is None:
                self.counts.pop(key, None)
            else:
                self.counts[key] = count

    def fails(self, network: str = "a", **named: str) -> Refused | None:
        """Try a wrong password; tell whether it was not even looked at."""
        change, refused = self.policy.arrive(self.keys(network, **named), self.counts, self.now)
        self.settle(change)
        return refused

    def succeeds(self, network: str = "a", **named: str) -> Refused | None:
        """Try the right password."""
        refused = self.fails(network, **named)
        if refused is None:
            self.settle(self.policy.succeed(self.keys(network, **named), self.counts, self.now)[0])
        return refused


def test_an_account_is_locked_for_the_network_that_failed() -> None:
    """After three failures the fourth waits for the time that is configured, and no failure prolongs it."""
    world = World()
    assert [world.fails() for _ in range(3)] == [None, None, None]
    for second in (0.0, 10.0, 899.0):
        world.now = second
        refused = world.fails()
        assert refused is not None
        assert refused.code == "account_locked"
        assert refused.retry_after == pytest.approx(900.0 - second)
    world.now = 901.0
    assert world.fails() is None


def test_from_elsewhere_there_is_only_a_delay() -> None:
    """Somebody else's failures make the owner wait a second, not a quarter of an hour."""
    world = World()
    for _ in range(3):
        world.fails("mallory")
    refused = world.succeeds("home")
    assert refused is not None
    assert refused.retry_after == 1.0
    world.now = 1.0
    assert world.succeeds("home") is None
    assert world.fails("third") is None


def test_from_many_networks_few_are_looked_at() -> None:
    """PW-10: of one try a second from ever new networks for a day, at most 110 passwords are looked at."""
    world, seen = World(), 0
    for second in range(0, 86_400, 7):
        world.now = float(second)
        seen += world.fails(f"net {second}") is None
    assert 90 <= seen <= 110


def test_a_known_device_is_not_kept_out() -> None:
    """While an account is attacked from everywhere, a device that has logged in before gets in at once."""
    world = World()
    for each in range(50):
        world.fails(f"net {each}")
        world.fails("home")
    assert world.succeeds("home") is not None
    assert world.succeeds("home", device="device:d") is None


def test_a_stolen_device_is_a_stranger_after_its_own_failures() -> None:
    """A device's own three failures make it count like everybody else."""
    world = World()
    for _ in range(3):
        assert world.fails("cafe", device="device:d") is None
    for _ in range(3):
        assert world.fails("cafe", device="device:d") is None
    assert world.fails("cafe", device="device:d") is not None


def test_success_forgets() -> None:
    """After a good password the failures before it count no more."""
    world = World()
    world.fails()
    world.fails()
    assert world.succeeds() is None
    assert [world.fails() for _ in range(3)] == [None, None, None]


def test_what_was_not_looked_at_is_given_back() -> None:
    """A full queue costs nobody anything."""
    world = World(Policy(rate=Rate(2, 60.0), after=3, lasts=900.0))
    for _ in range(20):
        assert world.fails() is None
        world.settle(world.policy.forgive(world.keys(), world.counts, world.now)[0])
    assert not world.counts


def test_an_address_is_limited_over_all_accounts() -> None:
    """PW-11: one password on many accounts from one address ends soon, and good logins do not count."""
    world = World(Policy(rate=Rate(5, 60.0), after=3, lasts=900.0))
    for each in range(30):
        assert world.succeeds("office", name=f"user {each}") is None
    for each in range(5):
        assert world.fails("office", name=f"user {each}") is None
    refused = world.fails("office", name="user 9")
    assert refused is not None
    assert (refused.code, refused.retry_after) == ("rate_limited", 12.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 400)), max_size=80))
def test_never_more_in_a_row_than_allowed(tries: list[tuple[str, bool, float]]) -> None:
    """Whatever comes, no network has more passwords looked at in a row than the policy says, within the lock's time."""
    world = World()
    row: dict[str, list[float]] = {}
    for network, good, pause in tries:
        world.now += pause
        refused = world.succeeds(network) if good else world.fails(network)
        if refused is None:
            if good:
                row.clear()
            else:
                row.setdefault(network, []).append(world.now)
        for times in row.values():
            lately = [each for each in times if world.now - each < POLICY.lasts]
            assert len(lately) <= 2 * POLICY.after


@pytest.mark.parametrize("typed", ["Alice", "alice ", "ALICE", "\u200balice", "al\u00adice", "alice\x00", "\uff21lice"])
def test_a_name_is_counted_as_it_is_compared(typed: str) -> None:
    """PW-13: no spelling of a name has a counter of its own."""
    assert counted_name(typed) == "alice"
