"""The question region: numbers, one at a time, the newest waits."""

from math import inf

import pytest

from tests.unit.core.protocol.driving import NOW, secret_of
from wsauth.core.credentials import Credentials
from wsauth.core.protocol.question import Question


def token(secret: str) -> Credentials:
    """Return a token that came in a message."""
    return Credentials("token", secret, source="message")


def test_questions_are_numbered_from_one() -> None:
    """Each question has the next number and holds what is to be verified."""
    question = Question(10.0)
    assert question.ask(token("first"), NOW).number == 1
    assert question.answer(1) is not None
    second = question.ask(token("second"), NOW)
    assert (second.number, secret_of(second)) == (2, "second")


def test_only_the_open_question_is_answered_and_only_once() -> None:
    """An earlier number, a later one and the same again answer nothing."""
    question = Question(10.0)
    question.ask(token("first"), NOW)
    question.answer(1)
    question.ask(token("second"), NOW)
    assert question.answer(1) is None
    assert question.answer(3) is None
    answered = question.answer(2)
    assert answered is not None
    assert answered.secret == "second"
    assert question.answer(2) is None


def test_a_second_question_while_one_is_open_is_the_protocol_error() -> None:
    """The table knows no way to ask while something is asked."""
    question = Question(10.0)
    question.ask(token("first"), NOW)
    with pytest.raises(KeyError):
        question.ask(token("second"), NOW)


def test_a_question_is_given_up_at_its_timeout() -> None:
    """Until the very second the answer counts, from then on it does not."""
    question = Question(10.0)
    question.ask(token("first"), NOW)
    assert question.due() == NOW + 10
    assert question.give_up(NOW + 9.999) is None
    given_up = question.give_up(NOW + 10)
    assert given_up is not None
    assert given_up.secret == "first"
    assert question.give_up(NOW + 10) is None
    assert question.answer(1) is None
    assert question.due() == inf


def test_only_the_newest_waits() -> None:
    """Of two renewals that wait, the older is forgotten."""
    question = Question(10.0)
    question.ask(token("first"), NOW)
    question.wait(token("second"))
    question.wait(token("third"))
    assert question.ask_waiting(NOW) is None
    question.answer(1)
    assert question.unanswered
    asked = question.ask_waiting(NOW)
    assert asked is not None
    assert secret_of(asked) == "third"
    question.answer(2)
    assert question.ask_waiting(NOW) is None
    assert not question.unanswered


def test_a_renewal_waits_ten_seconds_after_a_success() -> None:
    """The interval counts from the last success, to the second."""
    question = Question(5.0)
    question.succeeded(NOW)
    question.wait(token("next"))
    assert question.due() == NOW + 10
    assert question.ask_waiting(NOW + 9.999) is None
    assert question.ask_waiting(NOW + 10) is not None
    assert question.due() == NOW + 15


def test_dropping_forgets_what_is_asked_and_what_waits() -> None:
    """After a drop no answer counts and nothing is due, and dropping again is harmless."""
    question = Question(10.0)
    question.ask(token("first"), NOW)
    question.wait(token("second"))
    question.drop()
    question.drop()
    assert not question.unanswered
    assert question.answer(1) is None
    assert question.ask_waiting(NOW) is None
    assert question.due() == inf
