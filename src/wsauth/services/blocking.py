"""Keeping addresses out: by order, and where somebody guesses too much from one (CONTRACT `[monitoring]`)."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from wsauth.core import events
from wsauth.core.blocks import Block, network
from wsauth.core.throttling import Buckets, Rate, network_of
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.audit import recording
from wsauth.interfaces.blocks import BlockStore
from wsauth.interfaces.clock import Clock
from wsauth.services.connections.connections import Closing, Connections
from wsauth.services.events import Bus
from wsauth.services.feed.follower import Follower
from wsauth.services.throttling import Throttling, blocked

__all__ = ["Blocking"]

_REMEMBERED: Final = 100_000
"""Guesses that are known again, so that one that is repeated counts once."""
_LONGEST_REASON: Final = 200


class Blocking:
    """Add and remove blocks, and have every process of the store heed them.

    Args:
        store: keeps them.
        after: how many distinct guesses of one address block it; `None`: none are counted.
        lasts: seconds that such a block lasts.
        clock: tells the time.
        bus: takes events.
    """

    def __init__(self, store: BlockStore, *, after: Rate | None, lasts: float, clock: Clock, bus: Bus) -> None:
        self._store = store
        self._after = after
        self._lasts = lasts
        self._clock = clock
        self._bus = bus
        self._guesses = None if after is None else Buckets(after)
        # What was guessed from where -> when.
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._throttling: Throttling | None = None
        self._follower: Follower | None = None
        self._connections: Connections | None = None

    # Orders.

    async def all(self) -> Sequence[Block]:
        """Return the blocks in force, in the order of their networks."""
        return await self._store.all(self._clock.now())

    async def add(self, address: str, *, lasts: float | None = None, reason: str = "") -> Block:
        """Keep everybody at an address or network out, and close what they have open.

        Args:
            address: of one peer, or a network.
            lasts: seconds; `None`: until it is removed.
            reason: for people.

        Raises:
            ConfigurationError: it is no address.
        """
        now = self._clock.now()
        if not reason.isprintable() or len(reason) > _LONGEST_REASON:
            raise ConfigurationError(f"reason: at most {_LONGEST_REASON} printable characters")
        until = None if lasts is None else now + lasts
        block = Block(network=network(address), until=until, automatic=False, reason=reason, created_at=now)
        await self._add(block)
        await self.load()
        return block

    async def remove(self, address: str) -> Block:
        """Let an address or network in again, and return the block that there was.

        Raises:
            ConfigurationError: it is no address.
            Refused: `not_found`.
        """
        name = network(address)
        found = next((block for block in await self.all() if block.network == name), None)
        event = events.BlockChanged(at=self._clock.now(), network=name, what="removed")
        with recording(lambda removed: event if removed else None):
            if not await self._store.remove(name) or found is None:
                raise Refused("not_found", f"{name} is not blocked; `wsauth blocks list` shows what is")
            self._bus.publish(event)
        await self.load()
        return found

    async def _add(self, block: Block) -> None:
        event = events.BlockChanged(
            at=block.created_at,
            network=block.network,
            what="blocked" if block.automatic else "added",
            until=block.until,
            reason=block.reason,
        )
        with recording(lambda added: event if added else None):
            if await self._store.add(block):
                self._bus.publish(event)

    # Guesses.

    def guessed(self, address: str, secret: str) -> None:
        """Count a wrong credential; the same again within the time counts once, and so does an exempt address never."""
        guesses, throttling = self._guesses, self._throttling
        if guesses is None or throttling is None or not (key := throttling.key(address)):
            return
        now = self._clock.now()
        digest = blake2b(f"{key} {secret}".encode("utf-8", "replace"), digest_size=16).digest()
        before = self._seen.pop(digest, None)
        self._seen[digest] = now
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        if before is not None and now - before < guesses.rate.seconds:
            return
        if not guesses.charge(key, now):
            return
        if self._follower is not None:
            self._follower.spawn(self.block(address, f"more than {guesses.rate} wrong credentials"))

    async def block(self, address: str, reason: str) -> None:
        """Keep an address out for a while, as an automatic block does: a valid token still passes.

        Args:
            address: of a peer; an exempt one, one that is kept out already and what is no address are left alone.
            reason: for people.
        """
        throttling, now = self._throttling, self._clock.now()
        if throttling is None or not throttling.key(address) or throttling.blocks.find(address, now) is not None:
            return
        try:
            name = network(network_of(address))
        except ConfigurationError:  # the peer has no address: a unix socket
            return
        block = Block(network=name, until=now + self._lasts, automatic=True, reason=reason, created_at=now)
        throttling.blocks.add(block)
        await self._add(block)

    # Heeding.

    def follow(self, follower: Follower, connections: Connections) -> None:
        """Heed the feed."""
        self._follower, self._connections = follower, connections
        self._throttling = connections.throttling
        connections.throttling.on_guess = self.guessed
        follower.reread("blocks", self.load)

    async def load(self) -> None:
        """Read what is blocked, and close what is open from there."""
        connections, now = self._connections, self._clock.now()
        if connections is None:
            return
        throttling = connections.throttling
        throttling.blocks.replace(await self._store.all(now))
        kept_out = {
            connection: blocked(block, now)
            for connection in (connections.all() if throttling.blocks.ordered else ())
            if (block := throttling.block_of(connection.machine.about.address)) is not None and not block.automatic
        }
        if kept_out:
            Closing(list(kept_out), kept_out.__getitem__)

    async def prune(self) -> None:
        """Forget what is over."""
        await self._store.prune(self._clock.now())
