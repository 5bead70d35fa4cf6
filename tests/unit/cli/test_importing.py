"""Users from a file."""

import json
from pathlib import Path

import pytest

from tests.wsauth_server import command
from wsauth.cli.importing import read
from wsauth.errors import ConfigurationError

BCRYPT = "$2b$12$abcdefghijklmnopqrstuuLrRP1vTTnDkEDDd0nbuTfsZYAM9lXZO"
SLOW = BCRYPT.replace("$12$", "$31$")


def lines(*users: object) -> str:
    """Return the text of a file."""
    return "\n".join(json.dumps(user) for user in users)


def test_every_wrong_line_is_named(tmp_path: Path) -> None:
    """Each line that is wrong is named by its number, with what is wrong with it; empty lines are passed over."""
    good = {"username": "alice", "password_hash": BCRYPT}
    wrong = [
        good | {"username": "Alice"},
        {"username": "bob"},
        good | {"username": "bob", "password": "in clear"},
        good | {"username": "bob", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"},
        good | {"username": "bob", "password_hash": SLOW},
        good | {"username": "bob", "roles": ["wsauth:admin"]},
        good | {"username": "bob "},
        "bob",
    ]
    file = tmp_path / "users.jsonl"
    file.write_text(f"{lines(good)}\n\n{lines(*wrong)}\n{{")
    entries, found = read(file)
    assert list(entries) == [1]
    assert sorted(found) == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert "line 1 already" in found[3]
    assert "password_hash" in found[4]
    assert not any("in clear" in text or "5f4dcc" in text for text in found.values())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is said which file cannot be read."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.jsonl: No such file"):
        read(tmp_path / "nowhere.jsonl")


async def test_everybody_or_nobody(tmp_path: Path) -> None:
    """If a name is taken, its line is named and nobody is added; without it, everybody is, as they were."""
    (tmp_path / "first").write_text(lines({"username": "bob", "password_hash": BCRYPT}))
    assert (await command(tmp_path, "users", "import", "first")).out == "1 users were added\n"
    members = [
        {"username": f"user{n}", "password_hash": BCRYPT, "roles": ["member"], "disabled": n == 0} for n in range(70)
    ]
    (tmp_path / "second").write_text(lines(*members, {"username": "BOB", "password_hash": BCRYPT}))
    done = await command(tmp_path, "users", "import", "second")
    assert (done.status, done.err) == (2, "wsauth: second:71: there is a user 'BOB' already; remove the line\n")
    assert len((await command(tmp_path, "users", "list", "--json")).json()) == 1
    (tmp_path / "third").write_text(lines(*members))
    assert (await command(tmp_path, "users", "import", "third", "--json")).json() == {"added": 70, "wrong": []}
    listed = {user["username"]: user for user in (await command(tmp_path, "users", "list", "--json")).json()}
    assert len(listed) == 71
    assert (listed["user0"]["disabled"], listed["user1"]["disabled"], listed["user1"]["roles"]) == (
        True,
        False,
        ["member"],
    )
