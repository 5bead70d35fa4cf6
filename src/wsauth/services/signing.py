"""Our own signing keys: made at first start, wrapped by the key file, rotated in three phases.

A new key is published first. It signs when every process and every cache of the key set has it; the one before it
verifies until all that it signed has ended, and is then removed.
"""

import secrets
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey
from joserfc.jws import JWSRegistry

from wsauth.core import events
from wsauth.core.feed import KEPT
from wsauth.core.tokens.keys import VerifyingKey
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.audit import Recording, recording
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.keys import KeyStore, StoredKey
from wsauth.services.keyfile import KeyFile

__all__ = ["ALGORITHMS", "JWKS_LIFETIME", "SigningKeys"]

ALGORITHMS: Final = ("EdDSA", "ES256", "HS256")
JWKS_LIFETIME: Final = 300.0
"""Seconds for which others may keep our key set."""
_SETTLED: Final = 60.0
"""Seconds that a new key is published for longer than that, before it signs."""
_PURPOSE: Final = "signing key"

_Private = OKPKey | ECKey | OctKey
_TYPES: Final[dict[str, type[OKPKey] | type[ECKey] | type[OctKey]]] = {"EdDSA": OKPKey, "ES256": ECKey, "HS256": OctKey}


class SigningKeys:
    """Sign with the newest key that may, and verify with all.

    Args:
        store: keeps them, wrapped.
        key_file: wraps and unwraps.
        algorithm: of new keys.
        clock: tells the time.

    Attributes:
        on_removed: told when keys are gone; what they verified must not be remembered.
    """

    def __init__(self, store: KeyStore, key_file: KeyFile, algorithm: str, clock: Clock) -> None:
        self._store = store
        self._key_file = key_file
        self._algorithm = algorithm
        self._clock = clock
        self.on_removed: Callable[[], None] | None = None
        self._stored: list[StoredKey] = []
        self._private: dict[str, _Private] = {}
        self._verifying: dict[str, VerifyingKey] = {}

    def __repr__(self) -> str:
        return f"SigningKeys({[key.key_id for key in self._stored]!r})"

    async def load(self, *, make: bool = True) -> None:
        """Read the keys; make the first one if there is none.

        Raises:
            ConfigurationError: the key file is not the one that wrapped them.
        """
        stored = list(await self._store.all())
        if make and not any(key.algorithm == self._algorithm for key in stored):
            await self._store.add(self._draw(self._clock.now()), only_if_none=True)
            stored = list(await self._store.all())
        gone = {key.key_id for key in self._stored} - {key.key_id for key in stored}
        for key in stored:
            if key.key_id not in self._private:
                self._private[key.key_id] = private = self._open(key)
                self._verifying[key.key_id] = VerifyingKey(private, key.key_id, (key.algorithm,))
        for key_id in gone:
            del self._private[key_id], self._verifying[key_id]
        self._stored = stored
        if gone and self.on_removed is not None:
            self.on_removed()

    def has(self, key_id: str | None) -> bool:
        """Tell whether a token names one of our keys."""
        return key_id in self._verifying

    def verifying(self, algorithm: str, key_id: str | None) -> VerifyingKey:
        """Return the key that a token names.

        Raises:
            Refused: `token_invalid`: there is none.
        """
        key = self._verifying.get(key_id or "")
        if key is None or algorithm not in key.algorithms:
            raise Refused("token_invalid", "no key of ours is the one that the token names")
        return key

    def sign(self, type_: str, claims: dict[str, Any]) -> str:
        """Return a compact JWS (RFC 7515 section 7.1).

        Raises:
            Refused: `unavailable`: there is no key that signs.
        """
        now = self._clock.now()
        ready = [key for key in self._stored if key.signs_from <= now and key.algorithm == self._algorithm]
        if not ready:
            raise Refused("unavailable", "no signing key is ready", retry_after=1)
        newest = max(ready, key=lambda key: key.signs_from)
        header = {"alg": newest.algorithm, "typ": type_, "kid": newest.key_id}
        signed = b".".join((_segment(header), _segment(claims)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # RFC 9864 renames EdDSA; verifiers do not all know it
            signature = JWSRegistry.algorithms[newest.algorithm].sign(signed, self._private[newest.key_id])
        return (signed + b"." + _encoded(signature)).decode()

    def published(self) -> list[dict[str, Any]]:
        """Return the public keys as a JWK set has them (RFC 7517 section 5); secrets are none of them."""
        return [
            {**self._private[key.key_id].as_dict(private=False), "kid": key.key_id, "alg": key.algorithm, "use": "sig"}
            for key in self._stored
            if key.algorithm != "HS256"
        ]

    def all(self) -> list[StoredKey]:
        """Return the keys, the oldest first."""
        return list(self._stored)

    async def rotate(self, *, at_once: bool = False) -> StoredKey:
        """Add a key, and return it; it signs after the others have it, or at once in an emergency.

        Keys that have signed nothing for as long as a token can live are removed.
        """
        now = self._clock.now()
        key = self._draw(now if at_once else now + JWKS_LIFETIME + _SETTLED)
        with self._recording(key.key_id, "added"):
            await self._store.add(key)
        # Another algorithm's key takes nothing over: after a change of the configuration and back it signs no more.
        settled = [each for each in self._stored if each.algorithm == self._algorithm and each.signs_from + KEPT < now]
        for old in self._stored:
            if any(old.signs_from < newer.signs_from for newer in settled):
                with self._recording(old.key_id, "removed"):
                    await self._store.remove(old.key_id)
        await self.load()
        return key

    async def remove(self, key_id: str) -> None:
        """Remove a key; what it signed is refused from now on.

        Raises:
            Refused: `not_found`; or `conflict`: nothing could be signed without it.
        """
        now = self._clock.now()
        rest = [key for key in self._stored if key.key_id != key_id]
        if len(rest) == len(self._stored):
            raise Refused("not_found", f"there is no key {key_id!r}")
        if not any(key.signs_from <= now and key.algorithm == self._algorithm for key in rest):
            raise Refused("conflict", f"{key_id!r} is the only key that signs: rotate with --now first")
        with self._recording(key_id, "removed"):
            await self._store.remove(key_id)
        await self.load()

    def _recording(self, key_id: str, what: str) -> AbstractContextManager[Recording]:
        """Have the change written into the audit log with the transaction that makes it."""
        event = events.KeysChanged(at=self._clock.now(), key_id=key_id, what=what)
        return recording(lambda _: event)

    def _draw(self, signs_from: float) -> StoredKey:
        if self._algorithm == "EdDSA":
            key: _Private = OKPKey.generate_key("Ed25519")
        elif self._algorithm == "ES256":
            key = ECKey.generate_key("P-256")
        else:
            key = OctKey.generate_key(256)
        key_id = secrets.token_hex(8)
        private = msgspec.json.encode(key.as_dict(private=True))
        return StoredKey(
            key_id=key_id,
            algorithm=self._algorithm,
            created_at=self._clock.now(),
            signs_from=signs_from,
            wrapped=self._key_file.wrap(_PURPOSE, f"{key_id} {self._algorithm}", private),
        )

    def _open(self, key: StoredKey) -> _Private:
        if key.algorithm not in _TYPES:
            raise ConfigurationError(f"the store has a signing key for {key.algorithm!r}, which is not one of ours")
        private = self._key_file.unwrap(_PURPOSE, f"{key.key_id} {key.algorithm}", key.wrapped)
        return _TYPES[key.algorithm].import_key(msgspec.json.decode(private))


def _segment(value: dict[str, Any]) -> bytes:
    return _encoded(msgspec.json.encode(value))


def _encoded(value: bytes) -> bytes:
    return urlsafe_b64encode(value).rstrip(b"=")
