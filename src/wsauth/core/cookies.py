"""Cookies, as far as a credential may stand in one (RFC 6265 section 5.4)."""

from collections.abc import Collection
from typing import Final

__all__ = [
    "ASIDE",
    "DEVICES",
    "OURS",
    "PLAIN_COOKIE",
    "SECURE_COOKIE",
    "cut_cookies",
    "device_in",
    "device_of",
    "sign_ins_of",
]

SECURE_COOKIE: Final = "__Host-wsauth"
PLAIN_COOKIE: Final = "wsauth"
"""Only on plain-http loopback, where browsers take no `__Host-` cookie."""


def device_of(cookie: str) -> str:
    """Return the name of the device's cookie beside this session cookie."""
    return f"{cookie}-device"


DEVICES: Final = frozenset(map(device_of, (SECURE_COOKIE, PLAIN_COOKIE)))
"""By which our server knows a device again: they open nothing and spare it a lock; no application needs them."""


def sign_ins_of(cookie: str) -> str:
    """Return the name of the cookie of ways to providers beside this session cookie."""
    return f"{cookie}-sign-ins"


ASIDE: Final = DEVICES | set(map(sign_ins_of, (SECURE_COOKIE, PLAIN_COOKIE)))
"""What stands beside the session cookie and is nothing to applications."""
OURS: Final = ASIDE | {SECURE_COOKIE, PLAIN_COOKIE}


def cut_cookies(header: str, names: Collection[str]) -> tuple[list[tuple[str, str]], str]:
    """Return the cookies of these names, each as often as it came, and the header without them.

    Names are compared exactly: a look-alike (`__host-x`, `x ` with a space) is another cookie.
    """
    taken: list[tuple[str, str]] = []
    kept: list[str] = []
    for part in header.split(";"):
        name, equals, value = part.lstrip(" ").partition("=")
        if equals and name in names:
            taken.append((name, value))
        else:
            kept.append(part.strip(" "))
    return taken, "; ".join(part for part in kept if part)


def device_in(header: str) -> str:
    """Return the cookie by which our server knows a device again, or nothing."""
    taken, _ = cut_cookies(header, DEVICES)
    return taken[0][1] if taken else ""
