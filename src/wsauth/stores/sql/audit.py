"""Entries of the audit log in a table, each change's written by the transaction that makes it."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from wsauth.core.audit import SEGMENT, Chain, Head, Row, Sign, entry_of, name_of, segment_of
from wsauth.core.events import Event
from wsauth.interfaces.audit import Query
from wsauth.stores.sql.engine import Record, Transaction

__all__ = ["ChainRecorder", "Teller", "heads_of", "keep_head", "read", "remove_before", "row_of", "write_row"]

_COLUMNS: Final = "chain, number, at, event, tag, entry"
_INSERT: Final = (
    f"INSERT INTO audit ({_COLUMNS}) VALUES (:chain, :number, :at, :event, :tag, :entry) "  # noqa: S608  ours
    "ON CONFLICT (chain, number) DO NOTHING"
)
_LAST: Final = f"SELECT {_COLUMNS} FROM audit WHERE chain = :chain ORDER BY number DESC LIMIT 1"  # noqa: S608
_CHAINS: Final = "SELECT DISTINCT chain FROM audit"
_FIRST_KEPT: Final = "SELECT min(number) FROM audit WHERE chain = :chain AND at >= :at"
_LAST_REMOVED: Final = (
    f"SELECT {_COLUMNS} FROM audit WHERE chain = :chain AND number < :number "  # noqa: S608
    "ORDER BY number DESC LIMIT 1"
)
_REMOVE: Final = "DELETE FROM audit WHERE chain = :chain AND number <= :number"
_HEADS: Final = "audit:"
_KEEP_HEAD: Final = (
    "INSERT INTO facts (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_ALL_HEADS: Final = "SELECT value FROM facts WHERE name LIKE 'audit:%'"
_ALL_NUMBERS: Final = 1 << 62


class ChainRecorder:
    """Write the entry of each change, in its transaction, into one chain.

    Args:
        chain: its id.
        node: the process's id.
        sign: returns the MAC of bytes.
    """

    def __init__(self, chain: str, node: str, sign: Sign) -> None:
        self._id = chain
        self._node = node
        self._sign = sign
        self._chain: Chain | None = None
        self.last: Head | None = None

    def record(self, transaction: Transaction, event: Event) -> None:
        """Write the entry, and the chain's head."""
        if self._chain is None:
            last = transaction.one(_LAST, {"chain": self._id})
            number, tag = (0, "") if last is None else (last[1], last[4])
            self._chain = Chain(self._id, self._sign, number, tag)
        entry = msgspec.json.encode(entry_of(event, self._node))
        write_row(transaction, self._chain.link(event.at, name_of(event), entry))
        keep_head(transaction, self._chain.head())

    def committed(self) -> None:
        """Take what was written as being there."""
        if self._chain is not None:
            self.last = self._chain.head()

    def undone(self) -> None:
        """Ask the table at the next change how far the chain goes."""
        self._chain = None


class Teller:
    """Tell of each change once it is committed, where its entry is written elsewhere.

    Args:
        tell: takes the event, in the thread that writes.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._made: list[Event] = []
        self.last: Head | None = None

    def record(self, transaction: Transaction, event: Event) -> None:
        """Keep the event until the commit."""
        del transaction
        self._made.append(event)

    def committed(self) -> None:
        """Tell."""
        made, self._made = self._made, []
        for event in made:
            self._tell(event)

    def undone(self) -> None:
        """Forget it."""
        self._made = []


def write_row(transaction: Transaction, row: Row) -> None:
    """Write an entry; one that is there already stays as it is."""
    values = {"chain": row.chain, "number": row.number, "at": row.at, "event": row.event, "tag": row.tag}
    transaction.run(_INSERT, values | {"entry": bytes(row.entry).decode()})


def row_of(record: Record) -> Row:
    """Return an entry that was read."""
    chain, number, at, event, tag, entry = record
    return Row(str(chain), number, at, str(event), str(tag), msgspec.Raw(str(entry).encode()))


def keep_head(transaction: Transaction, head: Head) -> None:
    """Keep how far a chain goes, instead of what was kept before."""
    transaction.run(_KEEP_HEAD, {"name": _HEADS + head.chain, "value": msgspec.json.encode(head).decode()})


def heads_of(transaction: Transaction) -> list[Head]:
    """Return all heads that are kept; one that cannot be read is none that we signed."""
    found = []
    for (value,) in transaction.all(_ALL_HEADS):
        try:
            found.append(msgspec.json.decode(value, type=Head))
        except msgspec.DecodeError:
            found.append(Head(chain="?", number=0, tag="", signature=""))
    return found


def read(transaction: Transaction, query: Query, *, by_chain: bool = False) -> Sequence[Row]:
    """Return the entries that are asked for, in the order of their times, or chain after chain."""
    where, values = ["1 = 1"], dict[str, Any]()
    if query.since is not None:
        where.append("at >= :since")
        values["since"] = query.since
    if query.until is not None:
        where.append("at < :until")
        values["until"] = query.until
    if query.after is not None:
        where.append("(at, chain, number) > (:after_at, :after_chain, :after_number)")
        values["after_at"], values["after_chain"], values["after_number"] = query.after
    for place, (name, value) in enumerate(query.fields.items()):
        where.append(f"json_extract(entry, '$.' || :name{place}) = :value{place}")
        values[f"name{place}"], values[f"value{place}"] = name, value
    turn = " DESC" if query.newest else ""
    order = "chain, number" if by_chain else f"at{turn}, chain{turn}, number{turn}"
    values["limit"] = _ALL_NUMBERS if query.limit is None else query.limit
    statement = f"SELECT {_COLUMNS} FROM audit WHERE {' AND '.join(where)} ORDER BY {order} LIMIT :limit"  # noqa: S608
    return [row_of(record) for record in transaction.all(statement, values)]


def remove_before(transaction: Transaction, at: float, sign: Sign) -> None:
    """Remove the beginning of each chain that is older, but for the mark that keeps its last tag."""
    for (chain,) in transaction.all(_CHAINS):
        kept = transaction.one(_FIRST_KEPT, {"chain": chain, "at": at})
        number = kept[0] if kept is not None and kept[0] is not None else _ALL_NUMBERS
        found = transaction.one(_LAST_REMOVED, {"chain": chain, "number": number})
        if found is not None and found[3] != SEGMENT:
            last = row_of(found)
            transaction.run(_REMOVE, {"chain": chain, "number": last.number})
            write_row(transaction, segment_of(last, sign))
