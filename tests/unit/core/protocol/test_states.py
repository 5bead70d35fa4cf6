"""The three tables."""

from collections.abc import Iterable
from enum import Enum

import pytest

from wsauth.core.protocol.states import (
    CONNECTION,
    LEASE,
    QUESTION,
    ConnectionEvent,
    LeaseEvent,
    LeaseState,
    QuestionEvent,
    QuestionState,
    State,
    unknown,
)
from wsauth.errors import ProtocolError

EXPECTED = """
handshaking WAIT pending
handshaking GRANT connecting
handshaking CLOSE closing
handshaking END closed
pending GRANT connecting
pending CLOSE closing
pending END closed
connecting CONNECT open
connecting CLOSE closing
connecting END closed
open RENEW open
open EXPIRE stale
open CLOSE closing
open END closed
stale RENEW open
stale CLOSE closing
stale END closed
closing END closed
"""


def rows(table: Iterable[tuple[tuple[Enum, Enum], Enum]]) -> set[str]:
    """Return a table's rows as text."""
    return {f"{state.value} {event.name} {to.value}" for (state, event), to in table}


def test_a_connection_moves_only_along_its_table() -> None:
    """The connection's rows are those of ARCHITECTURE, and there is no other."""
    assert rows(CONNECTION.items()) == set(EXPECTED.split("\n")) - {""}


def test_a_question_is_asked_and_then_answered_or_dropped() -> None:
    """A question cannot be asked twice nor answered unasked."""
    assert rows(QUESTION.items()) == {"none ASK asked", "none DROP none", "asked ANSWER none", "asked DROP none"}


def test_a_lease_that_was_never_granted_cannot_be_replaced() -> None:
    """A lease is granted once, replaced or extended while it lives or after it ended; new rights do not revive it."""
    assert rows(LEASE.items()) == {
        "none GRANT alive",
        "none REVOKE ended",
        "alive REPLACE alive",
        "alive EXTEND alive",
        "alive CHANGE alive",
        "alive EXPIRE ended",
        "alive REVOKE ended",
        "ended REPLACE alive",
        "ended EXTEND alive",
        "ended CHANGE ended",
        "ended REVOKE ended",
    }


def test_nothing_leaves_closed_and_closing_only_ends() -> None:
    """From closing on there is one way, and it does not lead back."""
    assert {state for state, _ in CONNECTION} == set(State) - {State.CLOSED}
    assert [event for state, event in CONNECTION if state is State.CLOSING] == [ConnectionEvent.END]


@pytest.mark.parametrize(
    ("events", "used"),
    [
        (ConnectionEvent, {event for _, event in CONNECTION}),
        (QuestionEvent, {event for _, event in QUESTION}),
        (LeaseEvent, {event for _, event in LEASE}),
    ],
)
def test_every_event_is_known_somewhere(events: type[Enum], used: set[Enum]) -> None:
    """A table has no event that no state knows."""
    assert set(events) == used


def test_a_missing_key_is_the_protocol_error() -> None:
    """The error names the region, its state and the event."""
    with pytest.raises(ProtocolError, match=r"LeaseState 'none' does not know EXPIRE: its end has come"):
        unknown(LeaseState.NONE, LeaseEvent.EXPIRE)
    assert (QuestionState.NONE, QuestionEvent.ANSWER) not in QUESTION
