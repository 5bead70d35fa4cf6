"""Make what wsauth's own users present: a store with their sessions, and tokens, cookies and tickets of those."""

from collections.abc import Iterable
from pathlib import Path

import uvloop

from benchmarks.gateway.wsauth import config_of
from benchmarks.served import store
from benchmarks.tokens import SEEN
from wsauth import Guard
from wsauth.guard.local import Local
from wsauth.interfaces.sessions import Known
from wsauth.services.sessions import identity_of

PLAIN_COOKIE = "wsauth"


class Own:
    """Hold a store that was filled, and files with one credential a line.

    Attributes:
        folder: of the store.
        seen, fresh, cookies: files.
    """

    def __init__(self, folder: Path, fresh: int) -> None:
        """Make the store; `fresh` is how many handshakes one measurement may need at most."""
        folder.mkdir()
        self.folder = folder
        self.seen, self.fresh, self.cookies = (folder / name for name in ("seen", "fresh", "cookies"))
        self._config = folder / "wsauth.toml"
        self._config.write_text(config_of(9, assertion=True))
        uvloop.run(self._fill(fresh))

    async def _fill(self, fresh: int) -> None:
        guard, local = self._guard()
        await guard.backend.open()
        try:
            store.fill(self.folder / "wsauth.db", SEEN)
            store.add_cookies(self.folder / "wsauth.db", SEEN)
            logins = [await self._known(guard, store.session_id(number)) for number in range(SEEN)]
            browsers = [await self._known(guard, store.cookie_id(number)) for number in range(SEEN)]
        finally:
            await guard.backend.aclose()
        _write(self.seen, (_token(local, known) for known in logins))
        _write(self.fresh, (_token(local, logins[number % SEEN]) for number in range(fresh)))
        _write(self.cookies, (f"{PLAIN_COOKIE}={local.sessions.cookie(known.session)}" for known in browsers))

    def tickets(self, path: Path, count: int) -> Path:
        """Write so many tickets, each good once."""
        uvloop.run(self._tickets(path, count))
        return path

    async def _tickets(self, path: Path, count: int) -> None:
        guard, local = self._guard()
        await guard.backend.open()
        try:
            known = [await self._known(guard, store.session_id(number)) for number in range(SEEN)]
        finally:
            await guard.backend.aclose()
        people = [identity_of(each, local.limits) for each in known]
        _write(path, [await guard.issue_ticket(people[number % SEEN]) for number in range(count)])

    def _guard(self) -> tuple[Guard, Local]:
        guard = Guard.from_config(self._config)
        if guard.backend.local is None:
            raise LookupError("the configuration has no users of our own")
        return guard, guard.backend.local

    async def _known(self, guard: Guard, session_id: str) -> Known:
        if guard.backend.store is None or guard.backend.local is None:
            raise LookupError("there is no store")
        known = await guard.backend.store.sessions.find(
            session_id, guard.backend.local.limits, guard.backend.clock.now()
        )
        if known is None:
            raise LookupError(f"the session {session_id} is not in the store")
        return known


def _token(local: Local, known: Known) -> str:
    return local.tokens.issue(known.user, known.session, local.limits.ends_at(known.session))[0]


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
