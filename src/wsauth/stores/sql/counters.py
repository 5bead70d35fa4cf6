"""The statements of failed logins."""

from collections.abc import Collection
from typing import Final, TypeVar

from wsauth.core.lockout import Count
from wsauth.interfaces.counters import Decide
from wsauth.stores.sql.engine import Engine, Transaction

__all__ = ["SQLCounters"]

T = TypeVar("T")

_FIND: Final = "SELECT level, last, keep_until FROM login_failures WHERE key = :key"
_KEEP: Final = """
    INSERT INTO login_failures (key, level, last, keep_until) VALUES (:key, :level, :last, :keep_until)
    ON CONFLICT (key) DO UPDATE SET level = excluded.level, last = excluded.last, keep_until = excluded.keep_until
"""
_FORGET: Final = "DELETE FROM login_failures WHERE key = :key"
_CLEAR: Final = "DELETE FROM login_failures WHERE key >= :prefix AND key < :end"
_PRUNE: Final = "DELETE FROM login_failures WHERE keep_until <= :now"


class SQLCounters:
    """Keep counts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def update(self, keys: Collection[str], decide: Decide[T]) -> T:
        """Let somebody decide on what is remembered of these keys, as if nobody else did meanwhile."""

        def work(transaction: Transaction) -> T:
            found = {}
            for key in keys:
                record = transaction.one(_FIND, {"key": key})
                if record is not None:
                    found[key] = Count(*record)
            change, answer = decide(found)
            for key, count in change.items():
                if count is not None:
                    values = {"level": count.level, "last": count.last, "keep_until": count.keep_until}
                    transaction.run(_KEEP, {"key": key, **values})
                elif key in found:
                    transaction.run(_FORGET, {"key": key})
            return answer

        return await self._engine.write(work)

    async def clear(self, prefix: str) -> None:
        """Forget all keys that begin so."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        await self._engine.write(lambda transaction: transaction.run(_CLEAR, {"prefix": prefix, "end": end}))

    async def prune(self, now: float) -> None:
        """Forget what need not be kept any more."""
        await self._engine.write(lambda transaction: transaction.run(_PRUNE, {"now": now}))
