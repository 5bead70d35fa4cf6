"""What counts as worse through the gateway; the runs themselves are `scripts/autobahn`."""

import json
from pathlib import Path

import pytest

from tests.autobahn.outcomes import Change, Outcome, changes, keep, kept, order, read_index

OK = Outcome("OK", "OK", 1000)
FAILED = Outcome("FAILED", "OK", 1000)
UNCLEAN = Outcome("OK", "UNCLEAN", None)
LOOSE = Outcome("NON-STRICT", "OK", 1002)
UNDONE = Outcome("UNIMPLEMENTED", "OK", 1000)


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        (OK, FAILED, True),
        (OK, UNCLEAN, True),
        (LOOSE, FAILED, True),
        (OK, UNDONE, True),
        (OK, LOOSE, False),
        (FAILED, UNCLEAN, False),
        (FAILED, OK, False),
    ],
)
def test_what_passes_and_then_does_not_is_worse(before: Outcome, after: Outcome, worse: bool) -> None:
    """A case is worse where it passed straight, in behaviour and closing, and not through the gateway."""
    assert changes({"1.1.1": before}, {"1.1.1": after}, compressed=True) == [Change("1.1.1", before, after, worse)]


def test_a_case_without_compression_is_no_change() -> None:
    """What is about permessage-deflate is not done where the gateway does not agree on it."""
    assert changes({"12.1.1": OK}, {"12.1.1": UNDONE}, compressed=False) == []
    assert changes({"12.1.1": OK}, {"12.1.1": FAILED}, compressed=False)[0].worse


def test_the_same_outcome_is_no_change() -> None:
    """Cases that end alike are not listed, and the others are in order."""
    before = dict.fromkeys(["10.1.1", "9.10.1", "9.9.1", "1.1.1"], OK)
    found = changes(before, before | {"9.10.1": LOOSE, "9.9.1": LOOSE}, compressed=True)
    assert [each.case for each in found] == ["9.9.1", "9.10.1"]


def test_a_case_that_only_one_ran_is_an_error() -> None:
    """A case that is missing does not count as one that passed."""
    with pytest.raises(ValueError, match=r"only one of the two ran 2\.1, 10\.1\.1"):
        changes({"1.1.1": OK, "10.1.1": OK}, {"1.1.1": OK, "2.1": OK}, compressed=True)


def test_what_wstest_writes_is_read(tmp_path: Path) -> None:
    """The index of a run holds behaviour, closing and code of each case."""
    case = {"behavior": "OK", "behaviorClose": "UNCLEAN", "remoteCloseCode": None, "duration": 1, "reportfile": "x"}
    (tmp_path / "index.json").write_text(json.dumps({"direct": {"1.1.1": case}}), "utf-8")
    assert read_index(tmp_path / "index.json") == {"1.1.1": UNCLEAN}


def test_outcomes_are_kept(tmp_path: Path) -> None:
    """What was kept is read again, one line for each case, in order; a run that was never made brings nothing."""
    file = tmp_path / "results" / "direct.json"
    assert kept(file) == {}
    outcomes = {"10.1.1": OK, "2.1": UNCLEAN}
    keep(file, outcomes)
    assert kept(file) == outcomes
    assert [line.split('"')[1] for line in file.read_text("utf-8").splitlines()[1:-1]] == ["2.1", "10.1.1"]


def test_cases_are_ordered_by_number() -> None:
    """Numbers are compared as numbers."""
    assert sorted(["10.1.1", "9.10.1", "9.9.1"], key=order) == ["9.9.1", "9.10.1", "10.1.1"]
