"""What comes in a later release is refused, never ignored."""

import pytest

from tests.unit.settings.reading import Folder
from wsauth.settings.declarations import toml
from wsauth.settings.later import KEYS

LISTS = {"routes": 'upstream = "echo"', "issuers": 'issuer = "https://i.example"\naudience = "chat"'}


def _file(table: str, line: str) -> str:
    return f"[[{table}]]\n{LISTS[table]}\n{line}" if table in LISTS else f"[{table}]\n{line}"


EVERY = [(table, key) for table, keys in KEYS.items() for key in keys]


@pytest.mark.parametrize(("table", "key"), EVERY)
def test_a_key_of_later_is_refused_with_any_other_value(folder: Folder, table: str, key: str) -> None:
    """Nobody believes in a protection that is not there."""
    line = folder.refused(_file(table, f'{key} = "something"'))
    place = f"{table}[0].{key}" if table in LISTS else f"{table}.{key}"
    assert line == f"{folder.file}: `{place}` comes in a later release of wsauth; remove it"


@pytest.mark.parametrize(("table", "key"), EVERY)
def test_a_key_of_later_may_have_its_default(folder: Folder, table: str, key: str) -> None:
    """A file with every default of the contract is good."""
    default = KEYS[table][key]
    line = f"{key} = {toml(default)}"
    assert folder.load(_file(table, line)) == folder.load(_file(table, ""))


def test_a_number_is_not_a_truth_value(folder: Folder) -> None:
    """Only exactly the default is taken."""
    assert "later release" in folder.refused("[[routes]]\npath = '/ws'\nupstream = 'echo'\ntoken_in_every_message = 0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[store]\nurl = 'postgresql://db/x'", "store.url with 'postgresql:' comes in a later release of wsauth"),
        ("[store]\nurl = 'postgresql+psycopg://db/x'", "store.url with 'postgresql+' comes in a later release"),
    ],
)
def test_features_of_later_are_refused(folder: Folder, text: str, said: str) -> None:
    """Values say so too."""
    assert folder.refused(text).startswith(f"{folder.file}: {said}")


def test_a_variable_is_refused_too(folder: Folder) -> None:
    """The environment is no way around."""
    line = folder.refused("", {"WSAUTH__STORE__SHARED": "redis://db"})
    said = "`store.shared` comes in a later release of wsauth; remove it"
    assert line == f"WSAUTH__STORE__SHARED: {said}"
