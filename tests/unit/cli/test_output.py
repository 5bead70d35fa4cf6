"""How values are printed."""

import pytest

from wsauth.cli.output import clean, moment, print_table, span


@pytest.mark.parametrize(
    ("seconds", "said"), [(-1, "0 s"), (59.9, "59 s"), (300, "5 min"), (291, "4 min 51 s"), (90_061, "1 d 1 h")]
)
def test_durations(seconds: float, said: str) -> None:
    """A duration has its two largest units."""
    assert span(seconds) == said


def test_moments() -> None:
    """A time is in UTC, and none is never."""
    assert (moment(0.0), moment(None)) == ("1970-01-01 00:00:00 UTC", "never")


def test_values_are_cleaned() -> None:
    """Lists, truth values and nothing have words, and what a terminal would act on or hide is escaped."""
    assert clean(["member", "\x1b[31mred", "\u202eevil"]) == "member, \\x1b[31mred, \\u202eevil"
    assert (clean(True), clean(None), clean(2)) == ("yes", "", "2")


def test_a_row_stays_one_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs that read tables get each row as a line, whatever it holds."""
    print_table(("name", "roles"), [("alice", ["member"] * 100), ("[bold]bob", [])])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2] == "[bold]bob"
