"""Find the store that a URL names."""

from wsauth.errors import ConfigurationError
from wsauth.interfaces.store import Store

__all__ = ["open_store"]

_FORM = 'write url = "sqlite:///wsauth.db", or "sqlite:////var/lib/wsauth/wsauth.db" with four slashes'


def open_store(url: str) -> Store:
    """Return the store of a URL; it is used after `await store.open()`.

    Args:
        url: `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Raises:
        ConfigurationError: the URL names no database that this release knows.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme != "sqlite":
        # The rest of the URL may hold a password.
        kind = f"{scheme}://…" if separator else "no URL"
        raise ConfigurationError(
            f"[store] url: this release keeps its store in SQLite, and {kind} is not that; {_FORM}"
        )
    path = rest.removeprefix("/")
    if not rest.startswith("/") or path in {"", ":memory:"} or "?" in path:
        raise ConfigurationError(f"[store] url: {url!r} names no file; {_FORM}")
    from wsauth.stores.sqlite.store import SQLiteStore

    return SQLiteStore(path)
