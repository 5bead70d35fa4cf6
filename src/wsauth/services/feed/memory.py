"""A feed for one process, in memory: what is written is known at once."""

from collections.abc import Callable, Sequence

from wsauth.core.feed import NewRow, Row
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.feed import Answer, Node, Seen

__all__ = ["MemoryFeed"]

_ANSWERS = 100


class MemoryFeed:
    """Be a `Feed` and its `FeedReader`. Nothing is kept: its only reader has taken it in when `publish` returns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seq = 0
        self._tell: Callable[[Seen], None] | None = None
        self._answers: dict[str, Answer] = {}

    def start(self, tell: Callable[[Seen], None], now: Callable[[], float]) -> None:
        """Tell of everything that is published from now on."""
        self._tell = tell

    def poke(self) -> None:
        """Do nothing: there is never anything unread."""

    def stop(self) -> None:
        """Tell nobody any more."""
        self._tell = None

    async def publish(self, rows: Sequence[NewRow]) -> None:
        """Have rows taken in."""
        now = self._clock.now()
        numbered = []
        for row in rows:
            self._seq += 1
            numbered.append(
                Row(
                    kind=row.kind,
                    key=row.key,
                    value=row.value,
                    keep_until=row.keep_until,
                    order=row.order,
                    seq=self._seq,
                    at=now,
                )
            )
        if self._tell is not None:
            self._tell(Seen(rows=numbered, read_at=now))

    async def revoke_all(self, until: float, keep_until: float, order: str) -> None:
        """Have everything revoked that was issued until then."""
        await self.publish([NewRow(kind="all", value={"until": until}, keep_until=keep_until, order=order)])

    async def beat(self, node: Node) -> None:
        """Do nothing: nobody else listens."""

    async def newest(self) -> int:
        """Return the number of the newest row."""
        return self._seq

    async def goodbye(self, node_id: str) -> None:
        """Do nothing: nobody else listens."""

    async def nodes(self, since: float) -> Sequence[Node]:
        """Return nobody: the only process does not beat."""
        return ()

    async def answer(self, order: str, answer: Answer) -> None:
        """Keep what came of an order, for whoever gave it; the oldest are forgotten."""
        self._answers[order] = answer
        if len(self._answers) > _ANSWERS:
            del self._answers[next(iter(self._answers))]

    async def answers(self, order: str) -> Sequence[Answer] | None:
        """Return what came of an order."""
        answer = self._answers.get(order)
        return None if answer is None else (answer,)

    async def prune(self, now: float) -> None:
        """Do nothing: nothing is kept."""
