"""The file that `wsauth init` writes."""

import re

from tests.unit.settings.reading import Folder
from wsauth.settings import template
from wsauth.settings.declarations import listed, tables


def test_a_fresh_file_changes_nothing(folder: Folder) -> None:
    """Everything in it is commented out."""
    assert folder.load(template()) == folder.load("")


def test_a_file_with_every_line_in_force_changes_nothing(folder: Folder) -> None:
    """Every line says the default; an issuer has none for who it is, and says so."""
    every = re.sub(r"^# ", "", template(), flags=re.MULTILINE)
    assert "issuers[0].issuer is missing" in folder.refused(every)
    before, _, rest = every.partition("[[issuers]]")
    every = before + rest[rest.index("[roles]") :]
    assert folder.load(every) == folder.load("")


def test_every_key_is_there_once_and_explained() -> None:
    """In the order of the declarations, each with prose before it."""
    lines = template().splitlines()
    keys = [line.removeprefix("# ").partition(" = ")[0] for line in lines if line.startswith("# ")]
    declared = []
    for name, field, model in tables():
        declared += [f"[[{name}]]"] if listed(field.annotation) else []
        declared += list(model.model_fields) if model else []
    assert keys == declared
    for at, line in enumerate(lines):
        if line.startswith("# "):
            assert lines[at - 1].startswith("## ")


def test_a_key_can_be_taken_into_force_alone(folder: Folder) -> None:
    """Taking the "# " off one line, and changing it, is all there is to do."""
    edited = template().replace("# port = 8080", "port = 9001")
    assert folder.load(edited).server.port == 9001


def test_lines_are_short() -> None:
    """It is read in a terminal."""
    assert max(len(line) for line in template().splitlines()) <= 100
