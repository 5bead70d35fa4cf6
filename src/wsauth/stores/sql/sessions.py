"""The sessions' statements. What a change rests on is repeated in the statement that makes it."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from wsauth.core.feed import NewRow, RowKind, pair_key
from wsauth.core.identity import OWN_ISSUER, account_of
from wsauth.core.sessions import Limits, Session, SignIn
from wsauth.core.users import User
from wsauth.interfaces.sessions import Known, Refreshed
from wsauth.stores.sql.engine import Engine, Record, Transaction
from wsauth.stores.sql.feed import keep_from, time_of, write_row
from wsauth.stores.sql.users import USER_COLUMNS, account_for, read_user

__all__ = ["LIVE", "SQLSessions", "living"]

_decode_value: Final = msgspec.json.Decoder(dict[str, Any]).decode

_AGENT: Final = 200
_ADDRESS: Final = 64
"""Characters that are kept."""
_CHUNK: Final = 500
"""Sessions that one transaction looks at."""
_SIZES: Final = (1, 8, 64, _CHUNK)
"""Numbers of ids that a statement has places for, so that there are few statements to prepare."""

_COLUMNS: Final = (
    "sessions.id, users.username, users.issuer, users.foreign_subject, sessions.kind, sessions.generation, "
    "sessions.generation_at, sessions.epoch, sessions.created_at, sessions.refreshed_at, sessions.address, "
    "sessions.agent, sessions.provider, sessions.vouched_until, sessions.auth_time, sessions.acr"
)
_WIDTH: Final = _COLUMNS.count(",") + 1
_IN_TIME: Final = """
    sessions.created_at + :absolute > :now
    AND sessions.refreshed_at + CASE sessions.kind WHEN 'connection' THEN :connection ELSE :idle END > :now
"""
_OF_USER: Final = "users.username = sessions.subject AND users.epoch = sessions.epoch AND users.disabled = 0"
LIVE: Final = f"{_IN_TIME} AND EXISTS (SELECT 1 FROM users WHERE {_OF_USER})"  # noqa: S608  text of our own, all of it
"""The condition that a row of `sessions` is live, with the parameters of `living`."""

_LIVE_ONES: Final = f"FROM sessions JOIN users ON {_OF_USER} WHERE {_IN_TIME}"
_KNOWN: Final = f"SELECT {_COLUMNS}, {USER_COLUMNS} {_LIVE_ONES}"
_FIND: Final = f"{_KNOWN} AND sessions.id = :id"
_OPEN: Final = """
    INSERT INTO sessions (id, subject, kind, generation, generation_at, epoch, created_at, refreshed_at, address, agent,
                          provider, vouched_until, auth_time, acr, provider_session, issued_at, refresh_token)
    SELECT :id, username, :kind, :generation, :generation_at, epoch, :created_at, :refreshed_at, :address, :agent,
           :provider, :vouched_until, :auth_time, :acr, :provider_session, :issued_at, :refresh_token
    FROM users WHERE username = :account AND epoch = :epoch AND disabled = 0
"""
# Whatever was told since the provider was asked may be about the login that it answered with.
_TOLD_SINCE: Final = """
    SELECT kind, value FROM feed
    WHERE seq > :seen AND (kind = 'all' OR kind = 'subject' AND key = :pair OR kind = 'session' AND key = :sid
        OR kind = 'user' AND key = :account)
"""
_OF_PROVIDER: Final = """
    SELECT sessions.id FROM sessions JOIN users ON users.username = sessions.subject
    WHERE sessions.provider_session = :sid AND users.issuer = :issuer
"""
_ISSUED_BEFORE: Final = "SELECT id FROM sessions WHERE subject = :account AND issued_at <= :until"
_ASK: Final = """
    UPDATE sessions SET asked_at = :now
    WHERE id = :id AND refresh_token IS NOT NULL AND coalesce(asked_at, 0) <= :now - :patience
    RETURNING refresh_token
"""
_VOUCH: Final = """
    UPDATE sessions SET vouched_until = :until, refresh_token = :refresh_token, asked_at = NULL
    WHERE id = :id AND asked_at = :asked_at
"""
_ROTATE: Final = f"""
    UPDATE sessions SET generation = :generation + 1, generation_at = :now, refreshed_at = :refreshed_at
    WHERE id = :id AND generation = :generation AND {LIVE}
"""  # noqa: S608
_TOUCH: Final = f"UPDATE sessions SET refreshed_at = :refreshed_at WHERE id = :id AND {LIVE}"  # noqa: S608
_OF: Final = f"""
    SELECT {_COLUMNS} {_LIVE_ONES} AND sessions.subject = :account ORDER BY sessions.created_at DESC, sessions.id
"""
_PAGE: Final = f"SELECT {_COLUMNS} {_LIVE_ONES} AND sessions.id > :after ORDER BY sessions.id LIMIT :limit"
_WALK: Final = f"""
    SELECT {_COLUMNS} FROM sessions JOIN users ON users.username = sessions.subject
    WHERE sessions.id > :after ORDER BY sessions.id LIMIT :limit
"""  # noqa: S608
_FORGET: Final = f"DELETE FROM sessions WHERE id = :id AND NOT ({_IN_TIME})"  # noqa: S608


def living(limits: Limits, now: float) -> dict[str, Any]:
    """Return the parameters of `LIVE`; the condition is `limits.ends_at(session) > now`, and the user's."""
    return {"now": now, "absolute": limits.absolute, "idle": limits.idle, "connection": 2 * limits.access}


def _read_session(record: Record) -> Session:
    session_id, username, issuer, foreign_subject, kind, generation, generation_at, *rest = record[:_WIDTH]
    epoch, created_at, refreshed_at, address, agent, provider, vouched_until, auth_time, acr = rest
    return Session(
        id=session_id,
        subject=username if issuer == OWN_ISSUER else foreign_subject,
        issuer=issuer,
        kind=kind,
        generation=generation,
        generation_at=generation_at,
        epoch=epoch,
        created_at=created_at,
        refreshed_at=refreshed_at,
        address=address,
        agent=agent,
        provider=provider,
        vouched_until=vouched_until,
        auth_time=auth_time,
        acr=acr,
    )


def _read_known(record: Record) -> Known:
    return Known(_read_session(record), read_user(record[_WIDTH:]))


class SQLSessions:
    """Keep sessions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def open(self, session: Session) -> bool:
        """Add a session if its user is enabled and still of its epoch; tells whether it was."""
        values = _values(session, None)
        return await self._engine.write(lambda transaction: transaction.run(_OPEN, values)) == 1

    async def sign_in(self, session: Session, said: SignIn) -> Known | None:
        """Add a session that began at a provider, and its account where it is new, unless it was ended meanwhile."""
        return await self._engine.write(lambda transaction: _sign_in(transaction, session, said))

    async def ask(self, session_id: str, now: float, patience: float) -> bytes | None:
        """Take the wrapped refresh token of a session, unless somebody did so less than `patience` seconds ago."""
        values = {"id": session_id, "now": now, "patience": patience}
        record = await self._engine.write(lambda transaction: transaction.one(_ASK, values))
        return None if record is None else bytes(record[0])

    async def vouch(
        self, session: Session, until: float, refresh_token: bytes, roles: Sequence[str] | None, *, asked_at: float
    ) -> bool:
        """Note until when the provider vouches, and what it says of the roles; tells whether there is the session."""
        values = {"id": session.id, "until": until, "refresh_token": refresh_token, "asked_at": asked_at}

        def work(transaction: Transaction) -> bool:
            if transaction.run(_VOUCH, values) and roles is not None:
                account_for(transaction, _account_of(session, roles))
            return transaction.one("SELECT 1 FROM sessions WHERE id = :id", values) is not None

        return await self._engine.write(work)

    async def end_at_provider(
        self, issuer: str, row: NewRow, *, session_id: str | None, subject: str | None, until: float
    ) -> None:
        """End the sessions that began with a login which has ended at the provider, and write a row that says so.

        Args:
            issuer: whose login.
            row: written in any case.
            session_id: the login (`sid`); or `None`.
            subject: all logins of a subject up to `until`; or `None`.
            until: seconds since the epoch, by the provider's clock.
        """
        account = account_of(issuer, subject or "")
        values = {"issuer": issuer, "sid": session_id, "account": account, "until": until}

        def work(transaction: Transaction) -> None:
            for record in transaction.all(_OF_PROVIDER if session_id is not None else _ISSUED_BEFORE, values):
                transaction.run("DELETE FROM sessions WHERE id = :id", {"id": record[0]})
                _tell(transaction, record[0], row.order)
            write_row(transaction, row, time_of(transaction))

        await self._engine.write(work)

    async def find(self, session_id: str, limits: Limits, now: float) -> Known | None:
        """Return a live session and its user."""
        values = {"id": session_id, **living(limits, now)}
        return await self._engine.read(lambda transaction: _find(transaction, values))

    async def refresh(
        self, session_id: str, generation: int, limits: Limits, now: float, order: str | None = None
    ) -> Refreshed:
        """Take the proof of a generation."""
        return await self._engine.write(
            lambda transaction: _refresh(transaction, session_id, generation, limits, now=now, order=order)
        )

    async def touch(
        self, session_id: str, limits: Limits, now: float, *, generation: int | None = None
    ) -> Known | None:
        """Begin the idle time of a live session anew, of that generation if one is given, and return it."""
        values = {"id": session_id, **living(limits, now)}

        def work(transaction: Transaction) -> Known | None:
            known = _find(transaction, values)
            if known is None or generation not in {None, known.session.generation}:
                return None
            return _touch(transaction, known, values)

        return await self._engine.write(work)

    async def renewals(self, session_ids: Collection[str], limits: Limits, now: float) -> Sequence[Known]:
        """Return those that live; those of kind `connection` begin their idle time anew."""
        values = living(limits, now)
        ids = list(session_ids)
        found: list[Known] = []
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            found += await self._engine.read(partial(_among, ids=chunk, values=values))
        held = [known for known in found if known.session.kind == "connection"]
        if not held:
            return found
        others = [known for known in found if known.session.kind != "connection"]
        return others + await self._engine.write(lambda transaction: _touch_all(transaction, held, values))

    async def end(self, session_id: str, *, account: str | None = None, order: str | None = None) -> bool:
        """End a session, of that account if one is given; tells whether there was one."""

        def work(transaction: Transaction) -> bool:
            condition = "" if account is None else " AND subject = :account"
            statement = f"DELETE FROM sessions WHERE id = :id{condition}"  # noqa: S608  one of two texts of our own
            if not transaction.run(statement, {"id": session_id, "account": account}):
                return False
            _tell(transaction, session_id, order)
            return True

        return await self._engine.write(work)

    async def of(self, account: str, limits: Limits, now: float) -> Sequence[Session]:
        """Return an account's live sessions, the newest first."""
        return await self._sessions(_OF, {"account": account, **living(limits, now)})

    async def page(self, after: str, limit: int, limits: Limits, now: float) -> Sequence[Session]:
        """Return live sessions in the order of their ids, those behind the id `after`."""
        return await self._sessions(_PAGE, {"after": after, "limit": limit, **living(limits, now)})

    async def prune(self, limits: Limits, now: float) -> int:
        """Forget the sessions that have ended by time, a few in each transaction, so that others come in between."""
        forgotten = 0
        walked = await self._sessions(_WALK, {"after": "", "limit": _CHUNK})
        while walked:
            ended = [session.id for session in walked if limits.ends_at(session) <= now]
            if ended:
                forgotten += await self._engine.write(partial(_forget, ids=ended, values=living(limits, now)))
            walked = await self._sessions(_WALK, {"after": walked[-1].id, "limit": _CHUNK})
        return forgotten

    async def _sessions(self, statement: str, values: Mapping[str, Any]) -> Sequence[Session]:
        records = await self._engine.read(lambda transaction: transaction.all(statement, values))
        return [_read_session(record) for record in records]


def _values(session: Session, said: SignIn | None) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(session),
        "account": session.account,
        "address": session.address[:_ADDRESS],
        "agent": session.agent[:_AGENT],
        "provider_session": None if said is None else said.session_id,
        "issued_at": None if said is None else said.issued_at,
        "refresh_token": None if said is None else said.refresh_token,
    }


def _account_of(session: Session, roles: Sequence[str]) -> User:
    return User(
        username=session.account,
        issuer=session.issuer,
        foreign_subject=session.subject,
        roles=tuple(roles),
        created_at=session.created_at,
    )


def _sign_in(transaction: Transaction, session: Session, said: SignIn) -> Known | None:
    since = {
        "seen": said.seen,
        "pair": pair_key(session.issuer, session.subject),
        "sid": said.session_id,
        "account": session.account,
    }
    if any(_ends(kind, _decode_value(value), said) for kind, value in transaction.all(_TOLD_SINCE, since)):
        return None
    user = account_for(transaction, _account_of(session, said.roles))
    opened = msgspec.structs.replace(session, epoch=user.epoch)
    return Known(opened, user) if transaction.run(_OPEN, _values(opened, said)) else None


def _ends(kind: RowKind, value: Mapping[str, Any], said: SignIn) -> bool:
    """Tell whether a row that was written since the provider was asked ends the login that it answered with."""
    if kind == "subject":
        return bool(said.issued_at <= value["until"])
    return kind != "user" or not ("epoch" in value or "added" in value)


def _find(transaction: Transaction, values: Mapping[str, Any]) -> Known | None:
    record = transaction.one(_FIND, values)
    return None if record is None else _read_known(record)


def _refresh(
    transaction: Transaction, session_id: str, generation: int, limits: Limits, *, now: float, order: str | None
) -> Refreshed:
    values = {"id": session_id, "generation": generation, **living(limits, now)}
    known = _find(transaction, values)
    if known is None or generation > known.session.generation:
        return Refreshed("gone")
    session = known.session
    if generation == session.generation:
        moved = msgspec.structs.replace(
            session, generation=generation + 1, generation_at=now, refreshed_at=max(now, session.refreshed_at)
        )
        if not transaction.run(_ROTATE, {**values, "refreshed_at": moved.refreshed_at}):
            return Refreshed("gone")
        return Refreshed("rotated", Known(moved, known.user))
    if generation == session.generation - 1 and now < session.generation_at + limits.grace:
        return Refreshed("repeated", known)
    transaction.run("DELETE FROM sessions WHERE id = :id", {"id": session_id})
    _tell(transaction, session_id, order)
    return Refreshed("reused", subject=session.subject, issuer=session.issuer)


def _touch(transaction: Transaction, known: Known, values: Mapping[str, Any]) -> Known | None:
    refreshed_at = max(values["now"], known.session.refreshed_at)
    if not transaction.run(_TOUCH, {**values, "id": known.session.id, "refreshed_at": refreshed_at}):
        return None
    return Known(msgspec.structs.replace(known.session, refreshed_at=refreshed_at), known.user)


def _touch_all(transaction: Transaction, held: Sequence[Known], values: Mapping[str, Any]) -> list[Known]:
    touched = (_touch(transaction, known, values) for known in held)
    return [known for known in touched if known is not None]


def _among(transaction: Transaction, ids: Sequence[str], values: Mapping[str, Any]) -> list[Known]:
    """Find several sessions in one statement; its last places all name the last one."""
    size = next(size for size in _SIZES if size >= len(ids))
    places = ", ".join(f":id{place}" for place in range(size))
    named = {f"id{place}": ids[min(place, len(ids) - 1)] for place in range(size)}
    records = transaction.all(f"{_KNOWN} AND sessions.id IN ({places})", {**values, **named})
    return [_read_known(record) for record in records]


def _forget(transaction: Transaction, ids: Sequence[str], values: Mapping[str, Any]) -> int:
    return sum(transaction.run(_FORGET, {**values, "id": session_id}) for session_id in ids)


def _tell(transaction: Transaction, session_id: str, order: str | None) -> None:
    at = time_of(transaction)
    row = NewRow(kind="session", key=session_id, keep_until=keep_from(at), order=order or None)
    write_row(transaction, row, at)
