"""The question region: verifications have numbers, one is under way at a time, and only the newest renewal waits."""

from math import inf

from wsauth.core.credentials import Credentials
from wsauth.core.protocol.commands import Verify
from wsauth.core.protocol.states import QUESTION, QuestionEvent, QuestionState
from wsauth.core.protocol.wire import RENEWAL_INTERVAL

__all__ = ["Question"]


class Question:
    """Hold what is being verified and what waits for it.

    Args:
        timeout: seconds that one verification may take.
    """

    __slots__ = ("_asked", "_asked_at", "_number", "_renewed_at", "_state", "_timeout", "_waiting")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._state = QuestionState.NONE
        self._number = 0
        self._asked: Credentials | None = None
        self._asked_at = 0.0
        self._waiting: Credentials | None = None
        self._renewed_at = -inf

    @property
    def asked(self) -> bool:
        """Tell whether a verification is under way."""
        return self._state is QuestionState.ASKED

    @property
    def unanswered(self) -> bool:
        """Tell whether a verification is under way or waits."""
        return self.asked or self._waiting is not None

    def ask(self, credentials: Credentials, now: float) -> Verify:
        """Begin a verification."""
        self._state = QUESTION[self._state, QuestionEvent.ASK]
        self._number += 1
        self._asked = credentials
        self._asked_at = now
        return Verify(self._number, credentials)

    def answer(self, number: int) -> Credentials | None:
        """Return what was asked with this number, or `None` when nobody waits for that answer any more."""
        if not self.asked or number != self._number:
            return None
        self._state = QUESTION[self._state, QuestionEvent.ANSWER]
        asked, self._asked = self._asked, None
        return asked

    def give_up(self, now: float) -> Credentials | None:
        """Return what was asked when its time is over; its answer will change nothing."""
        if not self.asked or now < self._asked_at + self._timeout:
            return None
        asked = self._asked
        self._state = QUESTION[self._state, QuestionEvent.DROP]
        self._asked = None
        return asked

    def wait(self, credentials: Credentials) -> None:
        """Have a renewal wait; only the newest does."""
        self._waiting = credentials

    def ask_waiting(self, now: float) -> Verify | None:
        """Begin the waiting renewal unless one is under way or the last success is too fresh."""
        if self._waiting is None or self.asked or now < self._renewed_at + RENEWAL_INTERVAL:
            return None
        waiting, self._waiting = self._waiting, None
        return self.ask(waiting, now)

    def succeeded(self, now: float) -> None:
        """Note a successful renewal."""
        self._renewed_at = now

    def drop(self) -> None:
        """Forget everything that was asked or waits."""
        self._state = QUESTION[self._state, QuestionEvent.DROP]
        self._asked = self._waiting = None

    def due(self) -> float:
        """Return when `give_up` or `ask_waiting` will have something to do; `inf` for never."""
        if self.asked:
            return self._asked_at + self._timeout
        return self._renewed_at + RENEWAL_INTERVAL if self._waiting is not None else inf
