"""Which addresses of other servers may be asked, or told."""

import re
from typing import Final
from urllib.parse import urlsplit

from wsauth.core.peers import ip_of

__all__ = ["is_loopback", "is_sound"]

_URL: Final = re.compile(r"https?://[!-~]+", re.ASCII)


def is_sound(url: str) -> bool:
    """Tell whether it is an http or https URL with a host, and without a user, a password and a fragment."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return bool(_URL.fullmatch(url) and parts.hostname and "@" not in parts.netloc and not parts.fragment)


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine by `localhost` or a loopback address."""
    host = urlsplit(url).hostname or ""
    address = ip_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)
