"""The reference page, drawn from the declarations."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from wsauth.settings.declarations import tables, toml

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "configuration.md"


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """Import the script that draws."""
    spec = importlib.util.spec_from_file_location("draw_settings", ROOT / "scripts" / "draw_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(drawing: ModuleType) -> None:
    """Drawing it anew changes nothing."""
    assert drawing.page() == PAGE.read_text("utf-8")
    assert drawing.main(["--check"]) == 0


def test_every_key_is_on_the_page() -> None:
    """With its default and its meaning."""
    page = PAGE.read_text("utf-8")
    for _, _, model in tables():
        for name, field in model.model_fields.items() if model else ():
            default = "must be written" if field.is_required() else f"`{toml(field.get_default())}`"
            (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |") and default in line][:1]
            assert len(row.rpartition("| ")[0]) > 20


def test_a_stale_page_is_noticed(
    drawing: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check says which page, and what to run."""
    monkeypatch.setattr(drawing, "PAGE", tmp_path / "configuration.md")
    assert drawing.main(["--check"]) == 1
    assert "run python scripts/draw_settings.py" in capsys.readouterr().err
    assert drawing.main([]) == 0
    assert drawing.main(["--check"]) == 0
