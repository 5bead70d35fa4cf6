"""`[store]`: where users, sessions and keys are kept, and what to do when news from there fail to come."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ValidationInfo

from wsauth.settings.keys import File, Kind, NeededDuration, Table, key, placed

__all__ = ["Store"]

_SQLITE: Final = "sqlite:///"


def _url(value: str, info: ValidationInfo) -> str:
    # The value is not shown: the URL of a database may hold a password.
    path = value.removeprefix(_SQLITE)
    if path in (value, "") or path.startswith(":memory:") or "?" in path:
        raise ValueError('url is not a file of SQLite: write url = "sqlite:///wsauth.db"')
    return _SQLITE + placed(path, info)


class Store(Table):
    """Where users, sessions and keys are kept."""

    url: Annotated[str, AfterValidator(_url), Kind("URL")] = key(
        "sqlite:///wsauth.db",
        "The database: sqlite:/// and a file. All processes on one store act as one server.",
        secret=True,
    )
    key_file: File = key(
        "wsauth.key",
        "The key that wraps every secret in the store; nothing in the store can sign, decrypt or authenticate without "
        "it. Made at first start, for its owner only. Keep a copy of it, and not beside the store's.",
    )
    feed_timeout: NeededDuration = key("5s", "How long the news of other processes may stay away.")
    on_feed_loss: Literal["refuse", "close"] = key(
        "refuse",
        "What happens after feed_timeout. refuse: nothing new is granted, open sockets live to their lease's end; "
        "close: they are closed.",
    )

    @property
    def path(self) -> Path:
        """The file of the SQLite store."""
        return Path(self.url.removeprefix(_SQLITE))
