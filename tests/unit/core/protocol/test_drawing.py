"""The page that is drawn from the tables."""

import importlib.util
from enum import Enum
from pathlib import Path
from types import ModuleType

import pytest

from wsauth.core.protocol.states import CONNECTION, LEASE, QUESTION, State

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """Import the script that draws."""
    spec = importlib.util.spec_from_file_location("draw_machine", ROOT / "scripts" / "draw_machine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(drawing: ModuleType) -> None:
    """Drawing it anew changes nothing."""
    page = (ROOT / "docs" / "topics" / "machine.md").read_text("utf-8")
    assert drawing.drawn(page) == page


@pytest.mark.parametrize("table", [CONNECTION, QUESTION, LEASE])
def test_every_row_is_an_arrow_of_the_page(table: dict[tuple[Enum, Enum], Enum]) -> None:
    """No row is missing in the pictures."""
    page = (ROOT / "docs" / "topics" / "machine.md").read_text("utf-8")
    for (state, event), to in table.items():
        assert f"    {state.value} --> {to.value}: {event.name}\n" in page


def test_every_state_is_explained() -> None:
    """The page says in words what each state of a connection is."""
    page = (ROOT / "docs" / "topics" / "machine.md").read_text("utf-8")
    assert [f"- **{state.value}**" in page for state in State] == [True] * len(State)


def test_a_changed_table_makes_the_page_out_of_date(drawing: ModuleType) -> None:
    """A picture that somebody edited by hand is drawn over."""
    page = (ROOT / "docs" / "topics" / "machine.md").read_text("utf-8")
    edited = page.replace("    open --> stale: EXPIRE\n", "")
    assert edited != page
    assert drawing.drawn(edited) == page
