"""The users' statements. Whatever ends a user's logins writes a row, and the row's number is their new epoch."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from wsauth.core.feed import NewRow
from wsauth.core.identity import OWN_ISSUER
from wsauth.core.users import User, fold
from wsauth.errors import Refused
from wsauth.stores.sql.engine import Engine, Record, Transaction
from wsauth.stores.sql.feed import keep_from, time_of, write_row

__all__ = ["USER_COLUMNS", "SQLUsers", "account_for", "read_user"]

USER_COLUMNS: Final = (
    "users.username, users.issuer, users.foreign_subject, users.roles, users.grants, users.epoch, users.disabled, "
    "users.service, users.created_at, users.password_hash, users.password_until, users.must_change"
)
_OWN: Final = f"issuer = '{OWN_ISSUER}'"
_ACCOUNT: Final = f"SELECT {USER_COLUMNS} FROM users WHERE folded = :folded"  # noqa: S608  column names of our own
_BY_NAME: Final = f"{_ACCOUNT} AND {_OWN}"
_BY_KEY: Final = f"SELECT {USER_COLUMNS} FROM users WHERE key_tag = :key_tag"  # noqa: S608
_PAGE: Final = f"SELECT {USER_COLUMNS} FROM users WHERE folded > :after AND {_OWN} ORDER BY folded LIMIT :limit"  # noqa: S608
_COUNT: Final = f"SELECT count(*) FROM users WHERE {_OWN}"  # noqa: S608
_ADD: Final = """
    INSERT INTO users (folded, username, issuer, foreign_subject, roles, grants, epoch, disabled, service, created_at,
                       password_hash, password_until, key_tag)
    VALUES (:folded, :username, :issuer, :foreign_subject, :roles, :grants, :epoch, :disabled, :service, :created_at,
            :password_hash, :password_until, :key_tag)
"""
_SET_RIGHTS: Final = "UPDATE users SET roles = :roles, grants = :grants WHERE folded = :folded"
_USED: Final = """
    UPDATE users SET password_hash = :new_hash,
        password_until = CASE must_change WHEN 0 THEN NULL ELSE password_until END
    WHERE folded = :folded AND password_hash = :old_hash
"""
# A cookie is replaced in the answer to the change; a client with a refresh token gets none in it and keeps its own.
_CARRY: Final = """
    UPDATE sessions
    SET epoch = :epoch, generation = generation + CASE kind WHEN 'cookie' THEN 1 ELSE 0 END,
        generation_at = CASE kind WHEN 'cookie' THEN :at ELSE generation_at END
    WHERE id = :carry AND subject = :username AND epoch = :seen
"""

_encode: Final = msgspec.json.Encoder().encode
_decode_names: Final = msgspec.json.Decoder(tuple[str, ...]).decode


def read_user(record: Record) -> User:
    """Return a user from their `USER_COLUMNS`."""
    username, issuer, foreign_subject, roles, grants, epoch, disabled, *rest = record
    service, created_at, password_hash, password_until, must = rest
    return User(
        username=username,
        issuer=issuer,
        foreign_subject=foreign_subject,
        roles=_decode_names(roles),
        grants=_decode_names(grants),
        epoch=epoch,
        disabled=bool(disabled),
        service=bool(service),
        created_at=created_at,
        password_hash=password_hash,
        password_until=password_until,
        must_change=bool(must),
    )


class SQLUsers:
    """Keep users, found by their folded names."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, user: User, key_tag: bytes | None = None) -> User:
        """Add a user, with their first epoch, and return them."""
        return await self._engine.write(lambda transaction: _add(transaction, user, key_tag))

    async def find(self, username: str) -> User | None:
        """Return the user of this name, however it is written."""
        return await self._engine.read(lambda transaction: _find(transaction, username))

    async def find_by_key(self, key_tag: bytes) -> User | None:
        """Return the service whose API key has this MAC."""
        record = await self._engine.read(lambda transaction: transaction.one(_BY_KEY, {"key_tag": key_tag}))
        return None if record is None else read_user(record)

    async def page(self, after: str, limit: int) -> Sequence[User]:
        """Return users in the order of their folded names, those behind the name `after`."""
        values = {"after": fold(after), "limit": limit}
        records = await self._engine.read(lambda transaction: transaction.all(_PAGE, values))
        return [read_user(record) for record in records]

    async def count(self) -> int:
        """Return how many there are."""
        record = await self._engine.read(lambda transaction: transaction.one(_COUNT))
        return 0 if record is None else int(record[0])

    async def set_rights(
        self, username: str, roles: Collection[str] | None, grants: Collection[str] | None
    ) -> User | None:
        """Change what a user may do; logins go on with the new rights. `None` leaves what is there."""

        def work(transaction: Transaction) -> User | None:
            user = _find(transaction, username)
            if user is None:
                return None
            return _set_rights(transaction, user, roles, grants)

        return await self._engine.write(work)

    async def set_password(
        self,
        username: str,
        password_hash: str,
        *,
        seen_epoch: int | None = None,
        carry: str | None = None,
        until: float | None = None,
        must_change: bool = False,
        order: str | None = None,
    ) -> User | None:
        """Change a password and end every session but `carry`."""

        def work(transaction: Transaction) -> User | None:
            user = _find(transaction, username)
            if user is None or (seen_epoch is not None and user.epoch != seen_epoch):
                return None
            if carry is not None and not _is_of(transaction, carry, user):
                return None
            named = {"password_hash": password_hash, "password_until": until, "must_change": must_change}
            changed = msgspec.structs.replace(user, **named)
            values = {**named, "must_change": int(must_change)}
            return _end_logins(transaction, changed, values, carry=carry, order=order)

        return await self._engine.write(work)

    async def set_key(self, username: str, key_tag: bytes, *, order: str | None = None) -> User | None:
        """Give a service another API key; the old one is dead, and so is what it opened."""
        return await self._end(username, {"key_tag": key_tag}, order)

    async def use_password(self, username: str, old_hash: str, new_hash: str) -> None:
        """Note that a password was good: it no longer ends, and it is hashed anew; nothing if it was changed."""
        values = {"folded": fold(username), "old_hash": old_hash, "new_hash": new_hash}
        await self._engine.write(lambda transaction: transaction.run(_USED, values))

    async def set_disabled(self, username: str, disabled: bool, *, order: str | None = None) -> User | None:
        """Disable a user, which ends every login, or enable them again."""
        if disabled:
            return await self._end(username, {"disabled": 1}, order)

        def work(transaction: Transaction) -> User | None:
            user = _find(transaction, username)
            if user is None:
                return None
            transaction.run("UPDATE users SET disabled = 0 WHERE folded = :folded", {"folded": fold(username)})
            return msgspec.structs.replace(user, disabled=False)

        return await self._engine.write(work)

    async def end_logins(self, username: str, *, order: str | None = None, before: NewRow | None = None) -> User | None:
        """End every session and token of an account, and write a row just before that says more."""
        return await self._end(username, {}, order, before, find=_account)

    async def remove(self, username: str, *, order: str | None = None) -> bool:
        """Remove a user, which ends every login; tells whether there was one."""

        def work(transaction: Transaction) -> bool:
            user = _find(transaction, username)
            if user is None:
                return False
            _end_logins(transaction, msgspec.structs.replace(user, roles=(), grants=()), {}, order=order)
            transaction.run("DELETE FROM users WHERE folded = :folded", {"folded": fold(username)})
            return True

        return await self._engine.write(work)

    async def _end(
        self,
        username: str,
        changes: Mapping[str, Any],
        order: str | None,
        before: NewRow | None = None,
        *,
        find: Callable[[Transaction, str], User | None] | None = None,
    ) -> User | None:
        def work(transaction: Transaction) -> User | None:
            user = (find or _find)(transaction, username)
            if user is None:
                return None
            if before is not None:
                write_row(transaction, before, time_of(transaction))
            return _end_logins(
                transaction,
                msgspec.structs.replace(user, disabled=user.disabled or "disabled" in changes),
                changes,
                order=order,
            )

        return await self._engine.write(work)


def _find(transaction: Transaction, username: str) -> User | None:
    record = transaction.one(_BY_NAME, {"folded": fold(username)})
    return None if record is None else read_user(record)


def _account(transaction: Transaction, username: str) -> User | None:
    record = transaction.one(_ACCOUNT, {"folded": fold(username)})
    return None if record is None else read_user(record)


def account_for(transaction: Transaction, user: User) -> User:
    """Return the account of another issuer's subject, added where it is new, with the roles that `user` has."""
    if user.issuer == OWN_ISSUER:
        raise ValueError("a user of ours is nobody else's account")
    known = _account(transaction, user.username)
    if known is None:
        return _add(transaction, user, None)
    return known if known.roles == user.roles else _set_rights(transaction, known, user.roles, None)


def _set_rights(
    transaction: Transaction, user: User, roles: Collection[str] | None, grants: Collection[str] | None
) -> User:
    user = msgspec.structs.replace(
        user,
        roles=user.roles if roles is None else tuple(roles),
        grants=user.grants if grants is None else tuple(grants),
    )
    values = {"folded": fold(user.username), "roles": _names(user.roles), "grants": _names(user.grants)}
    transaction.run(_SET_RIGHTS, values)
    _tell(transaction, user, {"epoch": user.epoch})
    return user


def _add(transaction: Transaction, user: User, key_tag: bytes | None) -> User:
    if _find(transaction, user.username) is not None:
        raise Refused("conflict", f"there is a user {user.username!r}")
    told = {} if user.issuer == OWN_ISSUER else {"added": True}
    added = msgspec.structs.replace(user, epoch=_tell(transaction, user, told))
    transaction.run(
        _ADD,
        {
            "folded": fold(user.username),
            "username": user.username,
            "issuer": user.issuer,
            "foreign_subject": user.foreign_subject,
            "roles": _names(user.roles),
            "grants": _names(user.grants),
            "epoch": added.epoch,
            "disabled": int(user.disabled),
            "service": int(user.service),
            "created_at": user.created_at,
            "password_hash": user.password_hash,
            "password_until": user.password_until,
            "key_tag": key_tag,
        },
    )
    return added


def _is_of(transaction: Transaction, session_id: str, user: User) -> bool:
    values = {"id": session_id, "subject": user.username, "epoch": user.epoch}
    statement = "SELECT 1 FROM sessions WHERE id = :id AND subject = :subject AND epoch = :epoch"
    return transaction.one(statement, values) is not None


def _end_logins(
    transaction: Transaction,
    user: User,
    changes: Mapping[str, Any],
    *,
    carry: str | None = None,
    order: str | None = None,
) -> User:
    """Move a user to a new epoch with these changes of columns, and delete all sessions but one."""
    epoch = _tell(transaction, user, {} if carry is None else {"carried": carry}, order)
    columns = "".join(f", {column} = :{column}" for column in changes)
    values = {"folded": fold(user.username), "epoch": epoch, **changes}
    transaction.run(f"UPDATE users SET epoch = :epoch{columns} WHERE folded = :folded", values)  # noqa: S608  as above
    if carry is not None:
        carried = {"carry": carry, "username": user.username, "seen": user.epoch, "epoch": epoch, "at": time.time()}
        transaction.run(_CARRY, carried)
    transaction.run(
        "DELETE FROM sessions WHERE subject = :username AND epoch <> :epoch",
        {"username": user.username, "epoch": epoch},
    )
    return msgspec.structs.replace(user, epoch=epoch)


def _tell(transaction: Transaction, user: User, value: Mapping[str, Any], order: str | None = None) -> int:
    """Write the `user` row, and return its number, which is the new epoch unless the value names the old one."""
    at = time_of(transaction)
    told = {**value, "roles": user.roles, "grants": user.grants}
    if user.issuer != OWN_ISSUER:
        told |= {"issuer": user.issuer, "subject": user.foreign_subject}
    row = NewRow(kind="user", key=user.username, value=told, keep_until=keep_from(at), order=order or None)
    return write_row(transaction, row, at)


def _names(names: Collection[str]) -> str:
    return _encode(list(names)).decode()
