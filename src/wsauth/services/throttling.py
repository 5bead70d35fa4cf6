"""What an address may do that does not authenticate, and an identity that does (CONTRACT `[limits]`).

Addresses are counted for failures and for strangers only. A token that was found good costs its address nothing, so
that an office behind one address, or a site behind a proxy that nobody declared, comes back at once after a restart.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from wsauth.core.blocks import Block, Blocks
from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.core.peers import Network
from wsauth.core.throttling import Buckets, Rate, exempting, network_of
from wsauth.errors import Refused
from wsauth.interfaces.clock import Clock

__all__ = ["DEFAULT", "SLOW", "Allowances", "Throttling", "blocked"]

_log = logging.getLogger("wsauth")

_WRONG: Final = frozenset({"credentials_invalid", "token_invalid", "ticket_invalid"})
"""What counts as a failure; an expired or revoked credential was good once, and its owner does not guess."""
_DEAD: Final = frozenset({*_WRONG, "token_expired", "token_revoked", "session_revoked"})
_REPLAYS: Final = Rate(10, 300.0)
"""How often one refused token is judged; after that it is only slowed down."""
SLOW: Final = 1.0
"""Seconds that a no to a token takes whose sender was told to slow down."""
_TICKETS: Final = Rate(120, 60.0)
"""Tickets that one identity may ask for."""
_FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for"})


class Allowances(msgspec.Struct, frozen=True, kw_only=True):
    """Say how often and how many; `None` is without a limit.

    Attributes:
        auth_failures: wrong or forged credentials of one address.
        connects: connections and attempts of one address that do not authenticate.
        unauthenticated_per_address: connections of one address that have not authenticated yet.
        unauthenticated: the same over all addresses.
        per_identity: open connections of one identity.
        messages: of the client of one connection; beyond, it is not read for a moment.
        exempt: networks whose addresses are not counted.
    """

    auth_failures: Rate | None = Rate(60, 60.0)
    connects: Rate | None = Rate(300, 60.0)
    unauthenticated_per_address: int = 50
    unauthenticated: int = 1000
    per_identity: int = 50
    messages: Rate | None = None
    exempt: tuple[Network, ...] = ()


DEFAULT: Final = Allowances()


class Throttling:
    """Count for one process.

    Args:
        allowances: how much is allowed.
        clock: tells the time.

    Attributes:
        blocks: who is kept out.
        on_guess: told the address and the secret of every token and ticket that was wrong.
    """

    def __init__(self, allowances: Allowances, clock: Clock) -> None:
        self.allowances = allowances
        self._clock = clock
        self._failures = _buckets(allowances.auth_failures)
        self._connects = _buckets(allowances.connects)
        self._replays = Buckets(_REPLAYS)
        self._tickets = Buckets(_TICKETS)
        self._warned = False
        self.blocks = Blocks()
        self.on_guess: Callable[[str, str], None] = lambda _, __: None
        self.is_exempt = exempting(allowances.exempt)

    def key(self, address: str) -> str:
        """Return what an address is counted as; empty where it is not."""
        return network_of(address) if address and not self.is_exempt(address) else ""

    def block_of(self, address: str) -> Block | None:
        """Return the block that an address is in; an exempt one is in none."""
        block = self.blocks.find(address, self._clock.now())
        return None if block is None or self.is_exempt(address) else block

    def kept_out(self, address: str, *, known: bool = False) -> Refused | None:
        """Return why an address is not let in at all, or `None`.

        Args:
            address: from where.
            known: they have brought more than a password: an automatic block does not concern them.
        """
        block = self.block_of(address) if self.blocks else None
        return None if block is None or (known and block.automatic) else blocked(block, self._clock.now())

    def arrived(self, address: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Refused | None:
        """Charge somebody who has not authenticated, and return why they may not even try, or `None`.

        Next: `authenticated` where they do.
        """
        key, connects = self.key(address), self._connects
        if not key or connects is None:
            return None
        wait = connects.charge(key, self._clock.now())
        if not wait:
            return None
        why = f"{key} has made {connects.rate} connections that did not authenticate"
        refused = Refused("rate_limited", why, mend="limits.connect_per_address, limits.exempt", retry_after=wait)
        self.warn_of_proxy(refused.mend, address, headers)
        return refused

    def authenticated(self, address: str) -> None:
        """Give back what was charged on arrival."""
        key = self.key(address)
        if key and self._connects is not None:
            self._connects.give_back(key, self._clock.now())

    def failed(self, address: str, credentials: Credentials, error: Refused) -> Refused:
        """Count a credential that was refused, and return what its sender is told: `error`, or to slow down."""
        now, code = self._clock.now(), error.code
        if code not in _DEAD:
            return error
        key, failures = self.key(address), self._failures
        if key and credentials.kind == "token" and (wait := self._replays.charge(_digest(credentials.secret), now)):
            why = f"the same token was refused {_REPLAYS.count} times and came again ({code})"
            return Refused("rate_limited", why, retry_after=wait)
        if code in _WRONG and key and credentials.kind != "password":
            self.on_guess(address, credentials.secret)
        if code not in _WRONG or not key or failures is None:
            return error
        wait = failures.charge(key, now)
        if not wait:
            return error
        why = f"{key} has presented {failures.rate} wrong credentials ({code})"
        return Refused("rate_limited", why, mend="limits.auth_failures_per_address, limits.exempt", retry_after=wait)

    async def failed_late(self, address: str, credentials: Credentials, error: Refused) -> Refused:
        """Do as `failed`; whoever is told to slow down waits for it."""
        told = self.failed(address, credentials, error)
        if told is not error:
            await asyncio.sleep(SLOW)
        return told

    def exhausted(self, address: str) -> Refused | None:
        """Return why an address may not have a password or ticket looked at now, or `None`."""
        key, failures = self.key(address), self._failures
        wait = failures.full(key, self._clock.now()) if key and failures is not None else 0.0
        if not wait or failures is None:
            return None
        why = f"{key} has presented {failures.rate} wrong credentials"
        return Refused("rate_limited", why, mend="limits.auth_failures_per_address, limits.exempt", retry_after=wait)

    def ticket(self, identity: Identity) -> Refused | None:
        """Charge somebody who asks for a ticket, and return why they get none, or `None`."""
        wait = self._tickets.charge(f"{identity.issuer} {identity.subject}", self._clock.now())
        return (
            Refused("rate_limited", f"{identity} has asked for {_TICKETS} tickets", retry_after=wait) if wait else None
        )

    def warn_of_proxy(self, mend: str, address: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Say once that all users look alike: a limit on addresses was reached by a peer that forwards for others."""
        if self._warned or "_per_address" not in mend:
            return
        if any(name.lower() in _FORWARDED for name, _ in headers):
            self._warned = True
            _log.warning(
                "%s reached its limit and sends X-Forwarded-For: if it is your proxy, all its users count as one"
                " address; to change it: server.trusted_proxies = [%r]",
                address,
                address,
            )


def blocked(block: Block, now: float) -> Refused:
    """Return what is said to somebody at a blocked address."""
    mend = "monitoring.block_after, limits.exempt" if block.automatic else ""
    wait = None if block.until is None else max(1.0, block.until - now)
    why = (
        f"{block.network} is blocked{f': {block.reason}' if block.reason else ''}; wsauth blocks remove {block.network}"
    )
    return Refused("address_blocked", why, mend=mend, retry_after=wait)


def _buckets(rate: Rate | None) -> Buckets | None:
    return None if rate is None else Buckets(rate)


def _digest(secret: str) -> str:
    return blake2b(secret.encode("utf-8", "replace"), digest_size=16).hexdigest()
