"""Where alerts go, and what proves that they are ours (Standard Webhooks)."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from hmac import digest
from typing import Any, Final
from urllib.parse import urlsplit

from wsauth.core.noticing import NOTICES
from wsauth.core.urls import is_loopback, is_sound
from wsauth.errors import ConfigurationError

__all__ = ["Webhook", "check_events", "check_url", "key_of"]

_PREFIX: Final = "whsec_"
_SHORTEST, _LONGEST = 24, 64
"""Bytes of a secret (Standard Webhooks, "Signature scheme")."""


class Webhook:
    """Be where alerts are sent.

    Args:
        url: https, or http to this machine.
        secret: `whsec_` and 24 to 64 bytes in base64, which the receiver has, too.
        events: notices that are sent there; empty: all alerts.

    Raises:
        ConfigurationError: one of them cannot be.
    """

    __slots__ = ("_key", "events", "url")

    def __init__(self, url: str, secret: str, events: Sequence[str] = ()) -> None:
        self.url = url
        self.events = tuple(events)
        self._key = key_of(secret)
        check_url(url)
        check_events(self.events)

    def __repr__(self) -> str:
        return f"Webhook({self.host!r}, secret=<hidden>)"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a webhook holds a secret and is not pickled")

    @property
    def host(self) -> str:
        """Return where it is; the rest of its URL may be a secret."""
        return urlsplit(self.url).netloc

    def headers(self, message_id: str, at: float, body: bytes) -> dict[str, str]:
        """Return what proves that a message is ours and when it was sent.

        Args:
            message_id: the same in every attempt.
            at: when it is sent, in seconds since the epoch.
            body: of the request.
        """
        signed = f"{message_id}.{int(at)}.".encode() + body
        return {
            "Content-Type": "application/json",
            "User-Agent": "wsauth",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at)),
            "webhook-signature": f"v1,{b64encode(digest(self._key, signed, sha256)).decode()}",
        }


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True) if secret.startswith(_PREFIX) else b""
    except ValueError:
        key = b""
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ConfigurationError(
            f"secret: write {_PREFIX} and {_SHORTEST} to {_LONGEST} random bytes in base64, such as "
            f'"{_PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def check_events(names: Sequence[str]) -> None:
    """Refuse a name that is no notice.

    Raises:
        ConfigurationError: there is one.
    """
    for name in names:
        if name not in NOTICES:
            raise ConfigurationError(f"events: {name!r} is none of {', '.join(NOTICES)}")


def check_url(url: str) -> None:
    """Refuse an address to which no alert may go.

    Raises:
        ConfigurationError: it is one.
    """
    if not is_sound(url):
        raise ConfigurationError("url: write https://HOST/PATH, without a user, a password and #")
    if not url.startswith("https://") and not is_loopback(url):
        raise ConfigurationError("url: alerts go to other machines by https only; write https://…")
