"""Which addresses are kept out: looked at on every handshake that needs it, in a time that does not grow with them."""

from collections.abc import Iterable
from ipaddress import IPv6Network, ip_network
from math import inf
from typing import Final

import msgspec

from wsauth.core.peers import ip_of
from wsauth.errors import ConfigurationError

__all__ = ["Block", "Blocks", "network"]

_BITS: Final = {4: 32, 6: 128}
_MAPPED: Final = 96
"""Bits in front of an IPv4 address that is written as IPv6."""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Be a network that is kept out. Times in seconds since the epoch.

    Attributes:
        network: with its prefix length, as `ipaddress` writes it.
        until: its end; `None` has none.
        automatic: guesses made it: strangers and passwords are refused, a valid token passes. Else everybody is.
        reason: why, for people.
        created_at: since when.
    """

    network: str
    until: float | None
    automatic: bool
    reason: str
    created_at: float


def network(text: str) -> str:
    """Return an address or a network as a block has it.

    Raises:
        ConfigurationError: it is neither, or it is everybody.
    """
    try:
        parsed = ip_network(text)
    except ValueError:
        raise ConfigurationError(
            f'{text!r} is neither an address nor a network such as "203.0.113.7", "10.0.0.0/8" or "2001:db8::/64"'
        ) from None
    mapped = parsed.network_address.ipv4_mapped if isinstance(parsed, IPv6Network) else None
    if mapped is not None and parsed.prefixlen >= _MAPPED:
        parsed = ip_network((mapped, parsed.prefixlen - _MAPPED))
    if not parsed.prefixlen:
        raise ConfigurationError(f"{text} is everybody: stop the server instead")
    return str(parsed)


class Blocks:
    """Find the block of an address."""

    def __init__(self) -> None:
        self._blocks: dict[str, Block] = {}
        # Version of IP and bits that do not count -> the rest of the network's address -> its block.
        self._found: dict[tuple[int, int], dict[int, Block]] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def replace(self, blocks: Iterable[Block]) -> None:
        """Hold these and no others."""
        self._blocks, self._found = {}, {}
        for block in blocks:
            self.add(block)

    def add(self, block: Block) -> None:
        """Hold this one too, in place of another of its network."""
        parsed = ip_network(block.network)
        shift = _BITS[parsed.version] - parsed.prefixlen
        self._blocks[block.network] = block
        self._found.setdefault((parsed.version, shift), {})[int(parsed.network_address) >> shift] = block

    @property
    def ordered(self) -> bool:
        """Tell whether there is one for everybody."""
        return not all(block.automatic for block in self._blocks.values())

    def count(self, now: float) -> int:
        """Return how many are in force."""
        return sum(_lasts(block, now) for block in self._blocks.values())

    def find(self, address: str, now: float) -> Block | None:
        """Return the block that an address is in, one for everybody first; or `None`."""
        parsed = ip_of(address)
        if parsed is None:
            return None
        found = None
        for (version, shift), blocks in self._found.items():
            if version == parsed.version:
                block = blocks.get(int(parsed) >> shift)
                if block is not None and _lasts(block, now) and (found is None or found.automatic):
                    found = block
        return found


def _lasts(block: Block, now: float) -> bool:
    return now < (inf if block.until is None else block.until)
