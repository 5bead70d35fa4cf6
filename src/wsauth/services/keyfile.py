"""The key file: one secret outside of the store, and all the keys that are made of it.

Whoever has the store but not this file can sign, decrypt and authenticate nothing. Keys for different purposes, and for
different uses of one purpose, are independent (HKDF, RFC 5869).
"""

import base64
import binascii
import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wsauth.errors import ConfigurationError

__all__ = ["KeyFile", "Mac"]

_PREFIX: Final = "wsauth-key-1:"
_LENGTH: Final = 32
"""Bytes of the key and of every key made of it."""
_MARK: Final = 8
"""Bytes of the fingerprint, which stand before everything wrapped."""
_NONCE: Final = 12
"""Bytes (SP 800-38D section 8.2.2: random, for at most 2^32 secrets of one purpose)."""


class Mac:
    """Sign and check messages with HMAC-SHA256 (RFC 2104)."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, message: bytes) -> bytes:
        """Return the 32 bytes that prove that this key has seen the message."""
        return hmac.digest(self._key, message, "sha256")

    def check(self, message: bytes, tag: bytes) -> bool:
        """Tell whether `sign` made the tag, in a time that does not depend on it."""
        return hmac.compare_digest(self.sign(message), tag)

    def __repr__(self) -> str:
        return "Mac(<hidden>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled")


class KeyFile:
    """Make keys, and wrap and unwrap secrets that the store keeps.

    Args:
        key: 32 random bytes.
        source: where they came from, for error texts.
    """

    __slots__ = ("_key", "_mark", "_source")

    def __init__(self, key: bytes, source: str) -> None:
        if len(key) != _LENGTH:
            raise ConfigurationError(f"{source}: the key has {_LENGTH} bytes")
        self._key = key
        self._source = source
        self._mark = self._derived("fingerprint", "")[:_MARK]

    @classmethod
    def open(cls, path: str | Path) -> "KeyFile":
        """Read the file, or make it where there is none; processes that start at once end with the same key.

        Raises:
            ConfigurationError: it cannot be read or made, others can read it, or it is not a key file.
        """
        path = Path(path)
        try:
            if not path.exists():
                _make(path)
            return cls(_read(path), f"key file {path}")
        except OSError as error:
            raise ConfigurationError(
                f"key file {path}: {error.strerror}; this user must be able to read it or make it, in a local folder"
            ) from None

    @classmethod
    def in_memory(cls) -> "KeyFile":
        """Return a new key that no file keeps, for stores in memory and tests."""
        return cls(secrets.token_bytes(_LENGTH), "key in memory")

    @property
    def fingerprint(self) -> str:
        """Return 16 hex digits that tell this key from others and reveal nothing of it."""
        return self._mark.hex()

    def derive(self, purpose: str) -> bytes:
        """Return the 32 bytes that belong to this purpose, the same each time."""
        return self._derived("derive", purpose)

    def mac(self, purpose: str) -> Mac:
        """Return what signs and checks messages of this purpose."""
        return Mac(self._derived("mac", purpose))

    def wrap(self, purpose: str, name: str, secret: bytes) -> bytes:
        """Return the secret as the store may keep it: readable only with this key, under this purpose and name."""
        nonce = secrets.token_bytes(_NONCE)
        return self._mark + nonce + self._cipher(purpose).encrypt(nonce, secret, _bound(purpose, name))

    def unwrap(self, purpose: str, name: str, blob: bytes) -> bytes:
        """Return the secret that `wrap` got.

        Raises:
            ConfigurationError: another key wrapped it, or it was damaged, or wrapped for another purpose or name.
        """
        if blob[:_MARK] != self._mark:
            raise ConfigurationError(
                f"{self._source} (fingerprint {self.fingerprint}) did not wrap the secret {name!r} of the store; "
                f"set store.key_file to the file that was made with this store"
            )
        nonce = blob[_MARK : _MARK + _NONCE]
        with suppress(InvalidTag, ValueError):  # ValueError: the nonce is cut short
            return self._cipher(purpose).decrypt(nonce, blob[_MARK + _NONCE :], _bound(purpose, name))
        raise ConfigurationError(f"the secret {name!r} of the store is damaged; restore the store from a backup")

    def _cipher(self, purpose: str) -> AESGCM:
        return AESGCM(self._derived("wrap", purpose))

    def _derived(self, use: str, purpose: str) -> bytes:
        info = f"wsauth/{use}/{purpose}".encode()
        return HKDF(algorithm=SHA256(), length=_LENGTH, salt=None, info=info).derive(self._key)

    def __repr__(self) -> str:
        return f"KeyFile({self._source!r}, key=<hidden>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled")


def _bound(purpose: str, name: str) -> bytes:
    """Return the associated data. No border is needed: each purpose has a key of its own."""
    return f"{purpose}/{name}".encode()


def _make(path: Path) -> None:
    """Write a new key beside `path` and give it that name, unless another process was faster."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{_PREFIX}{_text(secrets.token_bytes(_LENGTH))}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    _keep_name(path.parent)


def _keep_name(folder: Path) -> None:
    """Let the new name outlive a loss of power, before the store holds anything that needs the key."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(
                f"key file {path}: others may read or change it (mode {mode & 0o777:04o}); chmod 600 it"
            )
        content = file.read(256)
    text = content.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")
    with suppress(binascii.Error, ValueError):
        key = base64.urlsafe_b64decode(f"{text.removeprefix(_PREFIX)}=")
        if len(key) == _LENGTH and text == _PREFIX + _text(key):
            return key
    raise ConfigurationError(
        f"key file {path}: {'it is not a' if content else 'it is empty, not a'} key file of wsauth; restore it from a "
        "backup, or remove it where the store is new and a new key is made"
    )


def _text(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()
