"""What runs statements: all that a database has to bring with it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

__all__ = ["Engine", "Parameters", "Record", "Transaction"]

T = TypeVar("T")
Parameters = Mapping[str, Any]
Record = Sequence[Any]


class Transaction(Protocol):
    """Be one transaction. Parameters are named: `:name`."""

    def one(self, statement: str, parameters: Parameters = ...) -> Record | None:
        """Run a statement and return its first row."""

    def all(self, statement: str, parameters: Parameters = ...) -> Sequence[Record]:
        """Run a statement and return its rows."""

    def run(self, statement: str, parameters: Parameters = ...) -> int:
        """Run a statement and return how many rows it changed."""


class Engine(Protocol):
    """Run work in transactions. Work may be run again when its transaction is: it must leave nothing behind.

    Transactions are serializable: whatever several do at once, it is as if one had come after the other.
    """

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Return what the work found; it sees everything that was committed before this was called.

        Raises:
            Refused: `unavailable`.
        """

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Return what the work returned, once it is committed. Work that raises changes nothing.

        Raises:
            Refused: `unavailable`; nothing is known to be changed.
        """
