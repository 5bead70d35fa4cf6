"""The schema and its changes, as Alembic revisions that run when a store is opened.

A new revision is one file in `versions/`, named `NNNN_what_it_does.py`, and `HEAD` moves to its number.
"""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["HEAD", "VERSION_TABLE", "known", "migrate"]

HEAD: Final = "0003"
"""The revision that this release works with."""

VERSION_TABLE: Final = "wsauth_version"
"""Where a store says its revision; an application may keep Alembic's own table beside it."""

_HERE: Final = Path(__file__).parent
_one_at_a_time: Final = Lock()


def known() -> frozenset[str]:
    """Return the revisions that this release can start from."""
    return frozenset(file.name.partition("_")[0] for file in (_HERE / "versions").glob("[0-9]*_*.py"))


def migrate(engine: "Engine") -> None:
    """Bring a database to `HEAD` in one transaction; the caller keeps other processes away."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    # Alembic keeps what it works on in its module.
    with _one_at_a_time, engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
