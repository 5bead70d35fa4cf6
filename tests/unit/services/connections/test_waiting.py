"""Who has not authenticated yet makes room for others."""

from wsauth.services.connections.waiting import Waiting


class Stranger:
    """Be somebody who waits."""

    def __init__(self) -> None:
        self.closed = False

    def shed(self) -> None:
        """Note it."""
        self.closed = True


def crowd(waiting: Waiting, address: str, count: int) -> list[Stranger]:
    """Let so many of one address wait."""
    made = [Stranger() for _ in range(count)]
    for each in made:
        waiting.add(each, address)
    return made


def test_the_oldest_of_an_address_makes_room() -> None:
    """Over the number of one address its oldest are closed, and nobody else."""
    waiting = Waiting(per_address=3, total=100)
    honest = crowd(waiting, "a", 1)
    many = crowd(waiting, "b", 5)
    assert [each.closed for each in many] == [True, True, False, False, False]
    assert not honest[0].closed
    assert len(waiting) == 4


def test_when_full_whoever_holds_most_makes_room() -> None:
    """RX-05: the oldest of the address that holds most is closed, so that a newcomer has a place."""
    waiting = Waiting(per_address=50, total=10)
    many = crowd(waiting, "mallory", 9)
    few = crowd(waiting, "alice", 1)
    late = crowd(waiting, "bob", 1)
    assert [each.closed for each in many] == [True] + [False] * 8
    assert not few[0].closed
    assert not late[0].closed
    assert len(waiting) == 10


def test_a_proxys_own_number_has_no_end() -> None:
    """Who is counted without a cap is closed only when all is full."""
    waiting = Waiting(per_address=1, total=100)
    many = [Stranger() for _ in range(5)]
    for each in many:
        waiting.add(each, "", capped=False)
    assert not any(each.closed for each in many)


def test_who_has_gone_takes_no_place() -> None:
    """Leaving twice is harmless, and nothing is kept of who left."""
    waiting = Waiting(per_address=2, total=10)
    first, second = crowd(waiting, "a", 2)
    waiting.discard(first)
    waiting.discard(first)
    crowd(waiting, "a", 1)
    assert not second.closed
    assert len(waiting) == 2
