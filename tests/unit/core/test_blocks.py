"""Finding the block of an address."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsauth.core.blocks import Block, Blocks, network
from wsauth.errors import ConfigurationError


def block(name: str, *, until: float | None = None, automatic: bool = False) -> Block:
    return Block(network=name, until=until, automatic=automatic, reason="", created_at=0.0)


def blocks(*held: Block) -> Blocks:
    found = Blocks()
    found.replace(held)
    return found


def test_the_networks_of_an_address() -> None:
    """An address is in every network that has it, also written as IPv6; text that is no address is in none."""
    found = blocks(block("203.0.113.7/32"), block("10.0.0.0/8"), block("2001:db8::/64"))
    for address in ("203.0.113.7", "10.255.0.1", "::ffff:10.0.0.1", "2001:db8::ffff"):
        assert found.find(address, 1.0) is not None, address
    for address in ("203.0.113.8", "11.0.0.1", "2001:db8:0:1::1", "", "unix", "::1"):
        assert found.find(address, 1.0) is None, address


def test_one_for_everybody_counts_first() -> None:
    """Where an automatic block lies in or around an ordered one, the order counts, as long as it lasts."""
    for narrow, wide in ((True, False), (False, True)):
        found = blocks(
            block("10.0.0.1/32", automatic=narrow, until=9.0), block("10.0.0.0/8", automatic=wide, until=9.0)
        )
        block_of = found.find("10.0.0.1", 1.0)
        assert block_of is not None
        assert not block_of.automatic
        assert found.find("10.0.0.1", 9.0) is None
        assert (found.count(8.9), found.count(9.0)) == (2, 0)


@given(st.lists(st.ip_addresses(v=4).map(str), max_size=5), st.integers(1, 32), st.ip_addresses(v=4).map(str))
def test_as_the_library_says(addresses: list[str], bits: int, asked: str) -> None:
    """Membership is what `ipaddress` says it is."""
    networks = [str(ip_network(f"{address}/{bits}", strict=False)) for address in addresses]
    found = blocks(*map(block, networks)).find(asked, 1.0)
    assert (found is not None) == any(ip_address(asked) in ip_network(name) for name in networks)


def test_ipv4_written_as_ipv6_is_ipv4() -> None:
    """Who blocks `::ffff:203.0.113.7` blocks 203.0.113.7."""
    assert network("::ffff:203.0.113.7") == "203.0.113.7/32"
    assert network("::ffff:10.0.0.0/104") == "10.0.0.0/8"


@pytest.mark.parametrize(
    "text", ["::ffff:0:0/96", "", "0.0.0.0/0", "::/0", "10.0.0.1/8", "example.com", "10.0.0.0/33", "1.2.3"]
)
def test_what_cannot_be_blocked(text: str) -> None:
    """Everybody, names and typing errors are refused by a line that shows what was written."""
    with pytest.raises(ConfigurationError, match=r"everybody|neither an address nor a network"):
        network(text)
