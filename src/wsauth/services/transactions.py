"""The ways of browsers to providers and back: kept by the browser, signed, so that beginning one costs us nothing."""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from wsauth.core.sessions import Limits
from wsauth.core.sign_in import LASTS, Transaction
from wsauth.errors import Refused
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.tickets import TicketStore
from wsauth.services.keyfile import KeyFile

__all__ = ["Transactions"]

_MOST: Final = 3
"""Ways that one browser may be on at once, as in several tabs."""
_LONGEST: Final = 3500
"""Characters of their cookie: browsers keep 4,096 bytes with name and attributes."""
_TAG: Final = 32
_CODE_LASTS: Final = 60.0
"""Seconds in which a page fetches its tokens."""

_decode = msgspec.json.Decoder(tuple[Transaction, ...]).decode
_decode_code = msgspec.json.Decoder(tuple[str, float, str, str]).decode


class Transactions:
    """Begin and end ways to providers, each once.

    Args:
        store: remembers which were used.
        key_file: signs them, and makes their nonces and code verifiers: 256 bits that only we can know.
        limits: of sessions.
        clock: tells the time.
    """

    def __init__(self, store: TicketStore, key_file: KeyFile, limits: Limits, clock: Clock) -> None:
        self._store = store
        self._mac = key_file.mac("sign-ins")
        self._nonces = key_file.mac("sign-in nonces")
        self._verifiers = key_file.mac("sign-in code verifiers")
        self._codes = key_file.mac("sign-in codes")
        self._limits = limits
        self._clock = clock

    def begin(self, provider: str, return_to: str, challenge: str, cookie: str) -> tuple[Transaction, str]:
        """Return a new way, and the browser's cookie with it.

        Args:
            provider: to which.
            return_to: where the browser goes in the end.
            challenge: of the page that will fetch tokens, or empty.
            cookie: that the browser has, of the ways it is on.
        """
        begun = Transaction(secrets.token_urlsafe(32), provider, self._clock.now() + LASTS, return_to, challenge)
        ways = (*self._read(cookie), begun)[-_MOST:]
        while len(self._written(ways)) > _LONGEST and len(ways) > 1:
            ways = ways[1:]
        return begun, self._written(ways)

    def nonce(self, state: str) -> str:
        """Return the nonce of a way."""
        return _text(self._nonces.sign(state.encode()))

    def verifier(self, state: str) -> str:
        """Return the code verifier of a way: 43 characters, as RFC 7636 section 4.1 recommends."""
        return _text(self._verifiers.sign(state.encode()))

    async def end(self, state: str, provider: str, cookie: str) -> tuple[Transaction, str]:
        """Return the way that this browser began, and its cookie without it; nobody can end it again.

        Raises:
            Refused: `token_invalid`: this browser is on no such way; or `unavailable`.
        """
        ways = self._read(cookie)
        found = next((way for way in ways if way.state == state and way.provider == provider), None)
        if found is None or not await self._store.burn(
            f"sign-in {state}", found.expires_at, self._limits, self._clock.now()
        ):
            raise Refused(
                "token_invalid",
                "the state is none that this browser has been given in the last ten minutes, or it was used before",
            )
        return found, self._written(tuple(way for way in ways if way is not found))

    def code(self, session_id: str, challenge: str) -> str:
        """Return what a page may have a session's tokens for, once, if it knows the verifier of the challenge."""
        fields = (secrets.token_urlsafe(16), self._clock.now() + _CODE_LASTS, session_id, challenge)
        payload = msgspec.json.encode(fields)
        return _text(self._codes.sign(payload) + payload)

    async def session_of(self, code: str, challenge: str) -> str:
        """Return the id of the session whose code it is; whatever the answer, a code of ours is spent.

        Raises:
            Refused: `token_invalid`, or `unavailable`.
        """
        signed = _bytes(code)
        if not self._codes.check(signed[_TAG:], signed[:_TAG]):
            raise Refused("token_invalid", "the code is none of ours")
        id_, expires_at, session_id, wanted = _decode_code(signed[_TAG:])
        if not await self._store.burn(f"code {id_}", expires_at, self._limits, self._clock.now()):
            raise Refused("token_invalid", "the code was used before, or is too old")
        if challenge != wanted:
            raise Refused("token_invalid", "the code_verifier is not the one of the code's challenge")
        return session_id

    def _read(self, cookie: str) -> tuple[Transaction, ...]:
        signed = _bytes(cookie)
        if not self._mac.check(signed[_TAG:], signed[:_TAG]):
            return ()
        now = self._clock.now()
        return tuple(way for way in _decode(signed[_TAG:]) if way.expires_at > now)

    def _written(self, ways: tuple[Transaction, ...]) -> str:
        if not ways:
            return ""
        payload = msgspec.json.encode(ways)
        return _text(self._mac.sign(payload) + payload)


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        return b""
