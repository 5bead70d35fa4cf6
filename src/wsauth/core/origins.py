"""Which pages may connect (RFC 6454, RFC 6455 section 10.2): one exact comparison with a list, no parsing."""

import re
from collections.abc import Iterable
from typing import Final

from wsauth.errors import ConfigurationError

__all__ = ["ANY", "Origins"]

ANY: Final = "*"
_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9.\-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Origins:
    """Hold the pages that may connect.

    Args:
        allowed: serialized origins (`https://app.example.com`), or `*` for every page.

    Raises:
        ConfigurationError: an entry is not an origin, so that it could never match.
    """

    __slots__ = ("_allowed", "any")

    def __init__(self, allowed: Iterable[str]) -> None:
        if isinstance(allowed, str) or not isinstance(allowed, Iterable):
            raise ConfigurationError(f"origins is a list: write origins=[{allowed or ''!r}]; [] means no browser")
        entries = list(allowed)
        self.any = ANY in entries
        self._allowed = frozenset(_checked(entry) for entry in entries if entry != ANY)

    def allow(self, origin: str) -> bool:
        """Tell whether a page with this Origin may connect; only letter case is folded (RFC 6455 section 4.2.2)."""
        return self.any or origin in self._allowed or (origin.isascii() and origin.lower() in self._allowed)

    def __repr__(self) -> str:
        return f"Origins({sorted(self._allowed)!r})" if not self.any else "Origins(['*'])"


def _checked(entry: str) -> str:
    if entry == "null":
        raise ConfigurationError('origins: "null" is what any sandboxed page sends; it cannot be allowed')
    match = _ORIGIN.fullmatch(entry.lower()) if entry.isascii() else None
    if match is None:
        raise ConfigurationError(
            f"origins: {entry!r} is not an origin; write scheme://host or scheme://host:port, without a path, "
            "an international name in its xn-- form"
        )
    scheme, host, port = match.groups()
    if port == _DEFAULT_PORTS[scheme]:
        raise ConfigurationError(f"origins: browsers leave the default port out: write {scheme}://{host}")
    return match[0]
