"""Give many users of one server what they present: tokens, cookies and tickets, made beside it in its store."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from benchmarks.gateway.credentials import Own
from benchmarks.gateway.wsauth import ORIGIN
from benchmarks.served.bench import Bench
from benchmarks.served.process import Site


class People:
    """Hold users of a store.

    Attributes:
        tokens, cookies: one of each user.
        password: everybody's, once it is shared.
    """

    def __init__(self, own: Own) -> None:
        """Read what was made."""
        self._own = own
        self.password = ""
        self.tokens = _lines(own.seen)
        self.cookies = _lines(own.cookies)

    @classmethod
    async def of(cls, bench: Bench, site: Site) -> "People":
        """Make a store with users, and have a site's servers use it."""
        folder = bench.folder / f"{site.folder.name}-own"
        own = await asyncio.to_thread(Own, folder, 0)
        site.environ |= {
            "WSAUTH__STORE__URL": f"sqlite:///{folder / 'wsauth.db'}",
            "WSAUTH__STORE__KEY_FILE": str(folder / "wsauth.key"),
            "WSAUTH__SERVER__ORIGINS": f'["{ORIGIN}"]',
        }
        return cls(own)

    @property
    def audit(self) -> Path:
        """Return the file of the audit log's decisions."""
        return self._own.folder / "wsauth-audit.db"

    def share(self, password: str, owner: str) -> None:
        """Give everybody the password of one of them: to hash so many would take long."""
        self.password = password
        with closing(sqlite3.connect(self._own.folder / "wsauth.db")) as connection, connection:
            connection.execute(
                "UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE folded = ?)", (owner,)
            )

    async def tickets(self, count: int) -> list[str]:
        """Return tickets of so many users; each is good once."""
        return _lines(await asyncio.to_thread(self._own.tickets, self._own.folder / "tickets", count))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
