"""The feed's statements: rows, processes, and what they answered."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from wsauth.core.feed import KEPT, NewRow, Row, RowKind
from wsauth.interfaces.feed import Answer, Node
from wsauth.stores.sql.engine import Engine, Record, Transaction

__all__ = ["FEED_COLUMNS", "SQLFeed", "change", "keep_from", "read_row", "time_of", "write_row"]

_log = logging.getLogger("wsauth")

FEED_COLUMNS: Final = "seq, kind, key, value, keep_until, at, order_id"
_KEEP: Final = KEPT + 60.0
"""Seconds: the minute is for clocks that differ and for the end of a second."""
_SILENT: Final = 3600.0
"""Seconds after which a silent process is forgotten."""
_LATE: Final = 60.0
"""Seconds that a used ticket is remembered after its end, for processes whose clocks differ."""
_STEP: Final = 1.0
"""Seconds between two beats of a process."""
_CHUNK: Final = 500
"""Rows that one transaction of a `prune` removes, so that others come in between."""

_INSERT: Final = """
    INSERT INTO feed (kind, key, value, keep_until, at, order_id)
    VALUES (:kind, :key, :value, :keep_until, :at, :order_id) RETURNING seq
"""
_BEAT: Final = """
    INSERT INTO nodes (id, beat_at, connections) VALUES (:id, :beat_at, :connections)
    ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, connections = excluded.connections
"""
# An answer to an order that is pruned would never be pruned itself.
_ANSWER: Final = """
    INSERT INTO answers (order_id, node, answer)
    SELECT :order_id, :node, :answer WHERE EXISTS (SELECT 1 FROM feed WHERE order_id = :order_id)
    ON CONFLICT (order_id, node) DO UPDATE SET answer = excluded.answer
"""
_LATEST: Final = "SELECT max(beat_at) FROM nodes"
_EXPIRED: Final = "SELECT seq, order_id FROM feed WHERE keep_until <= :now ORDER BY keep_until LIMIT :limit"
_FORGET_ANSWERS: Final = """
    DELETE FROM answers
    WHERE order_id = :order_id AND NOT EXISTS (SELECT 1 FROM feed WHERE feed.order_id = :order_id)
"""
_FORGET_TICKETS: Final = """
    DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE expires_at <= :ended LIMIT :limit)
"""

_encode: Final = msgspec.json.Encoder().encode
_decode_value: Final = msgspec.json.Decoder(dict[str, Any]).decode
_decode_answer: Final = msgspec.json.Decoder(Answer).decode


def keep_from(now: float) -> float:
    """Return until when a row that is written now has to be kept, in seconds since the epoch."""
    return now + _KEEP


def time_of(transaction: Transaction) -> float:
    """Return the time of a row: ahead of every beat, since a wall clock may be set back and processes go on by theirs.

    A row of an earlier time than theirs would count as old: nobody would be closed, and nobody would answer.
    """
    now = time.time()
    record = transaction.one(_LATEST, {})
    latest = None if record is None else record[0]
    return now if latest is None or latest <= now else float(latest) + _STEP


def read_row(record: Record) -> Row:
    """Return a row of the feed from its `FEED_COLUMNS`."""
    seq, kind, key, value, keep_until, at, order = record
    return Row(kind=kind, key=key, value=_value(seq, value), keep_until=keep_until, order=order, seq=seq, at=at)


def _value(seq: int, text: str) -> dict[str, Any]:
    """Return the value of a row: empty where it cannot be read, since that must not hide the rows beside it.

    Empty it means as much as it can: a `session` or `token` row needs none, and a `user` row without ends all logins.
    """
    try:
        return _decode_value(text)
    except (msgspec.DecodeError, TypeError):
        _log.error("the feed of revocations: the value of row %d cannot be read", seq)
        return {}


def write_row(transaction: Transaction, row: NewRow, at: float) -> int:
    """Write a row as part of the transaction of its cause, and return its number."""
    record = transaction.one(
        _INSERT,
        {
            "kind": row.kind,
            "key": row.key,
            "value": _encode(row.value).decode(),
            "keep_until": row.keep_until,
            "at": at,
            "order_id": row.order or None,
        },
    )
    assert record is not None  # noqa: S101  an INSERT that does not raise returns its row
    seq: int = record[0]
    return seq


async def change(engine: Engine, kind: RowKind, statement: str, values: Mapping[str, Any]) -> bool:
    """Run a statement, and where it changed something, say so in a row of this kind; tells whether it did."""

    def work(transaction: Transaction) -> bool:
        if not transaction.run(statement, values):
            return False
        at = time_of(transaction)
        write_row(transaction, NewRow(kind=kind, keep_until=keep_from(at)), at)
        return True

    return await engine.write(work)


class Presence(Protocol):
    """Know which processes are there although they do not beat; a matter of the database's machine."""

    def announce(self, node_id: str) -> None:
        """Be there."""

    def holds(self, node_id: str) -> bool:
        """Tell whether a process is there."""


class SQLFeed:
    """Write the feed and ask about it.

    Args:
        engine: runs the statements.
        presence: tells a suspended process from one that is gone.
    """

    def __init__(self, engine: Engine, presence: Presence) -> None:
        self._engine = engine
        self._presence = presence

    async def publish(self, rows: Sequence[NewRow]) -> None:
        """Write rows in one transaction."""

        def work(transaction: Transaction) -> None:
            at = time_of(transaction)
            for row in rows:
                write_row(transaction, row, at)

        await self._engine.write(work)

    async def revoke_all(self, until: float, keep_until: float, order: str) -> None:
        """End every session, move every user to a new epoch, and write the `all` row, whose number is that epoch."""

        def work(transaction: Transaction) -> None:
            row = NewRow(kind="all", value={"until": until}, keep_until=keep_until, order=order)
            epoch = write_row(transaction, row, time_of(transaction))
            transaction.run("DELETE FROM sessions")
            transaction.run("UPDATE users SET epoch = :epoch", {"epoch": epoch})

        await self._engine.write(work)

    async def beat(self, node: Node) -> None:
        """Say that a process lives."""
        self._presence.announce(node.id)
        values = {"id": node.id, "beat_at": node.beat_at, "connections": node.connections}
        await self._run(_BEAT, values)

    async def newest(self) -> int:
        """Return the number of the newest row; 0 where there is none."""
        record = await self._engine.read(lambda transaction: transaction.one("SELECT max(seq) FROM feed"))
        return 0 if record is None or record[0] is None else int(record[0])

    async def goodbye(self, node_id: str) -> None:
        """Say that a process is gone; what it answered stays part of the reports."""
        await self._run("DELETE FROM nodes WHERE id = :id", {"id": node_id})

    async def nodes(self, since: float) -> Sequence[Node]:
        """Return the processes that have beaten since then, and those that are there but suspended."""
        statement = "SELECT id, beat_at, connections FROM nodes ORDER BY id"
        records = await self._engine.read(lambda transaction: transaction.all(statement, {}))
        known = [Node(id=node, beat_at=beat_at, connections=connections) for node, beat_at, connections in records]
        return [node for node in known if node.beat_at >= since or self._presence.holds(node.id)]

    async def answer(self, order: str, answer: Answer) -> None:
        """Write, or write again, what a process did for an order."""
        await self._run(_ANSWER, {"order_id": order, "node": answer.node, "answer": _encode(answer).decode()})

    async def answers(self, order: str) -> Sequence[Answer] | None:
        """Return what processes did for an order; `None` when the feed has no such order."""
        values = {"order_id": order}

        def work(transaction: Transaction) -> Sequence[Record] | None:
            if transaction.one("SELECT 1 FROM feed WHERE order_id = :order_id LIMIT 1", values) is None:
                return None
            return transaction.all("SELECT answer FROM answers WHERE order_id = :order_id ORDER BY node", values)

        records = await self._engine.read(work)
        return None if records is None else [_decode_answer(text) for (text,) in records]

    async def prune(self, now: float) -> None:
        """Forget what need not be kept, in transactions that others come in between."""
        while await self._engine.write(lambda transaction: _forget_rows(transaction, now)) == _CHUNK:
            pass
        tickets = {"ended": now - _LATE, "limit": _CHUNK}
        while await self._run(_FORGET_TICKETS, tickets) == _CHUNK:
            pass
        await self._run("DELETE FROM nodes WHERE beat_at <= :silent", {"silent": now - _SILENT})

    async def _run(self, statement: str, values: Mapping[str, Any]) -> int:
        return await self._engine.write(lambda transaction: transaction.run(statement, values))


def _forget_rows(transaction: Transaction, now: float) -> int:
    expired = transaction.all(_EXPIRED, {"now": now, "limit": _CHUNK})
    for seq, _ in expired:
        transaction.run("DELETE FROM feed WHERE seq = :seq", {"seq": seq})
    for order in {order for _, order in expired if order is not None}:
        transaction.run(_FORGET_ANSWERS, {"order_id": order})
    return len(expired)
