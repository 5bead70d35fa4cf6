"""The command without a server: what it refuses, asks, writes and shows."""

import json
import os
import re
import shutil
import signal
import stat
from pathlib import Path

import pytest

from tests.unit.cli.terminal import terminal
from tests.wsauth_server import command, secret

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose store has Alice, to be copied."""
    folder = tmp_path_factory.mktemp("store")
    done = await command(folder, "users", "add", "alice", "--password-stdin", stdin=secret(PASSWORD, "a password"))
    assert (done.status, done.out, done.err) == (0, "", "alice was added\n")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """Return a folder whose store has Alice."""
    return Path(shutil.copytree(made, tmp_path / "folder"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["frobnicate"], "frobnicate"),
        (["serve", "--port", "many"], "--port: server.port"),
        (["serve", "--host", "192.0.2.1"], "tls_certificate"),
        (["serve", "--store", "postgresql://db"], "--store"),
        (["check", "--config", "nowhere.toml"], "nowhere.toml"),
        (["check", "--config", "wrong.toml"], 'wrong.toml: "prot" is not a key of [server]'),
        (["users", "list", "--config", "elsewhere.toml"], "there is no store at"),
        (["users", "show", "nobody"], "nobody"),
        (["users", "add", "alice", "--password-stdin"], "alice"),
        (["users", "add", " bob", "--password-stdin"], "username"),
        (["users", "add", "bob"], "--password-stdin"),
        (["users", "add", "bob", "--service", "--password-stdin"], "--service"),
        (["users", "add", "bob", "--grant", "wsauth:all", "--password-stdin"], "wsauth:admin"),
        (["users", "add", "bob", "--role", "wsauth:admin", "--password-stdin"], "role 'wsauth:admin'"),
        (["users", "set-roles", "alice"], "--no-roles"),
        (["users", "set-password", "alice", "--service"], "alice"),
        (["users", "import", "nowhere.jsonl"], "nowhere.jsonl"),
        (["users", "enable", "nobody"], "nobody"),
        (["sessions", "revoke"], "--all"),
        (["sessions", "revoke", "x", "--all"], "exactly one"),
        (["sessions", "revoke", "--all", "--issuer", "x"], "--issuer"),
        (["tokens", "issue", "--subject", "alice", "--ttl", "2 moons"], "--ttl"),
        (["tokens", "issue", "--subject", "alice", "--ttl", "2d"], "24 h"),
        (["keys", "remove", "nothing"], "nothing"),
        (["connect", "http://127.0.0.1"], "ws://"),
        (["connect", "ws://chat.example/ws", "--user", "alice"], "wss://"),
        (["connect", "ws://127.0.0.1/ws", "--user", "alice"], "password"),
        (["connect", "ws://127.0.0.1/ws", "--token-stdin", "--ticket-stdin"], "one of"),
    ],
)
async def test_bad_input_is_one_line(folder: Path, arguments: list[str], named: str) -> None:
    """What is wrong ends with exit status 2 and one line on standard error, which names it."""
    (folder / "wrong.toml").write_text("[server]\nprot = 80\n")
    (folder / "elsewhere.toml").write_text('[store]\nurl = "sqlite:///elsewhere.db"\n')
    done = await command(folder, *arguments, stdin="a good password for bob" if "add" in arguments else "")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("wsauth: ")
    assert done.err.count("\n") == 1
    assert named in done.err


@pytest.mark.parametrize("password", ["short", "", "two\nlines of it, long enough"])
async def test_a_password_that_is_not_taken(tmp_path: Path, password: str) -> None:
    """A password that is too short, missing, or more than a line is refused, and nobody is added."""
    done = await command(tmp_path, "users", "add", "bob", "--password-stdin", stdin=password)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "two" not in done.err
    assert not (tmp_path / "wsauth.db").exists() or (await command(tmp_path, "users", "list", "--json")).json() == []


async def test_a_terminal_asks_twice_and_shows_nothing(folder: Path) -> None:
    """A password is typed twice without echo; when the two differ, it is asked for again (ATTACKS AD-13)."""
    async with terminal(folder, "users", "add", "bob") as screen:
        await screen.expect("Password: ")
        screen.type(f"{PASSWORD}\n")
        await screen.expect("Repeat for confirmation: ")
        screen.type("something else\n")
        await screen.expect("Password: ")
        screen.type(f"{PASSWORD}\n")
        await screen.expect("Repeat for confirmation: ")
        screen.type(f"{PASSWORD}\n")
        assert await screen.status() == 0
        assert "bob was added" in screen.shown
        assert "horse" not in screen.shown
        assert "something" not in screen.shown


async def test_a_token_on_a_terminal_is_not_shown(folder: Path) -> None:
    """`tokens inspect` and `--password-stdin` on a terminal ask without echo, too."""
    for arguments, prompt in (
        (["tokens", "inspect"], "Token: "),
        (["users", "add", "bob", "--password-stdin"], "Password: "),
    ):
        async with terminal(folder, *arguments) as screen:
            await screen.expect(prompt)
            screen.type("hidden from everybody\n")
            await screen.expect("\n")
            assert "hidden" not in screen.shown


@pytest.mark.parametrize("typed", ["\x03", "\x04"])
async def test_ctrl_c_and_ctrl_d_end_a_question(folder: Path, typed: str) -> None:
    """Ctrl-C ends with 130; the end of input with 2 and a line; neither with a traceback."""
    async with terminal(folder, "users", "add", "bob") as screen:
        await screen.expect("Password: ")
        screen.type(typed)
        assert await screen.status() == (130 if typed == "\x03" else 2)
        assert "Traceback" not in screen.shown


async def test_a_progress_bar_is_for_people(folder: Path) -> None:
    """On a terminal an import shows how far it is."""
    user = {"password_hash": "$2b$12$abcdefghijklmnopqrstuuLrRP1vTTnDkEDDd0nbuTfsZYAM9lXZO"}
    (folder / "users").write_text("\n".join(json.dumps(user | {"username": f"user{n}"}) for n in range(200)))
    async with terminal(folder, "users", "import", "users", environ={"TERM": "xterm"}) as screen:
        assert await screen.status() == 0
        assert "200 users were added" in screen.shown
        assert "Adding users" in screen.shown


async def test_a_configuration_is_written_once_and_is_good(tmp_path: Path) -> None:
    """`init` writes a file for its owner only, that `check` finds good, and does not overwrite it."""
    assert (await command(tmp_path, "init")).status == 0
    file = tmp_path / "wsauth.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await command(tmp_path, "check")).out == f"{file}: good\n"
    text = file.read_text()
    again = await command(tmp_path, "init")
    assert (again.status, again.err.count("\n")) == (2, 1)
    assert file.read_text() == text
    assert (await command(tmp_path, "init", "other.toml")).status == 0


async def test_check_names_risks(tmp_path: Path) -> None:
    """An unsafe choice is a warning that names key and risk, and no error."""
    (tmp_path / "wsauth.toml").write_text("[server]\ninsecure_plaintext = true\n")
    done = await command(tmp_path, "check")
    assert (done.status, done.out) == (0, f"{tmp_path / 'wsauth.toml'}: good, with 1 warnings\n")
    assert done.err.startswith("warning: server.insecure_plaintext = true: ")
    assert len((await command(tmp_path, "check", "--json")).json()["warnings"]) == 1


async def test_the_configuration_by_environment_and_option(tmp_path: Path) -> None:
    """WSAUTH_CONFIG names the file, --config goes before it, and unknown variables are errors."""
    (tmp_path / "one.toml").write_text("")
    (tmp_path / "two.toml").write_text("")
    named = {"WSAUTH_CONFIG": str(tmp_path / "one.toml")}
    assert (await command(tmp_path, "check", environ=named)).out == f"{tmp_path / 'one.toml'}: good\n"
    assert (
        await command(tmp_path, "check", "--config", "two.toml", environ=named)
    ).out == f"{tmp_path / 'two.toml'}: good\n"
    done = await command(tmp_path, "check", environ={"WSAUTH__SERVER__PROT": "80"})
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "WSAUTH__SERVER__PROT" in done.err


async def test_users_are_shown_without_their_secrets(folder: Path) -> None:
    """A user is shown with everything but the hash of the password."""
    shown = (await command(folder, "users", "show", "Alice", "--json")).json()
    assert shown.pop("created_at") > 0
    assert shown == {
        "username": "alice",
        "roles": [],
        "grants": [],
        "service": False,
        "disabled": False,
        "password_until": None,
        "must_change": False,
        "sessions": 0,
    }
    assert "argon" not in (await command(folder, "users", "show", "alice")).out


async def test_rights_are_replaced_or_taken_away(folder: Path) -> None:
    """`set-roles` replaces what it names and leaves the rest."""
    await command(folder, "users", "set-roles", "alice", "--role", "owner", "--grant", "wsauth:revoke")
    done = await command(folder, "users", "set-roles", "alice", "--role", "member", "--role", "guest")
    assert done.out == "alice: roles member, guest; grants wsauth:revoke\n"
    done = await command(folder, "users", "set-roles", "alice", "--no-roles", "--no-grants", "--json")
    assert (done.json()["roles"], done.json()["grants"]) == ([], [])


async def test_a_disabled_user_is_enabled_again(folder: Path) -> None:
    """Where no server runs, the change is made, and it is said that nothing was open."""
    done = await command(folder, "users", "disable", "alice")
    assert done.out == "done; no server runs on this store, so no socket was open\n"
    assert "disabled" in (await command(folder, "users", "list")).out
    assert (await command(folder, "users", "enable", "alice")).out == "alice may sign in again\n"
    assert "disabled" not in (await command(folder, "users", "list")).out


async def test_a_token_is_inspected_and_never_repeated(folder: Path) -> None:
    """What it is, whose, whether we made it, its end and its revocation are told; the token itself is not."""
    issued = await command(folder, "tokens", "issue", "--subject", "alice", "--ttl", "2m", "--role", "guest")
    token = secret(issued.out.strip(), "a token")
    found = (await command(folder, "tokens", "inspect", "--json", stdin=token)).json()
    assert (found["what"], found["ours"], found["good"]) == ("access token", True, True)
    assert (found["subject"], found["roles"]) == ("alice", ["guest"])
    assert 100 < found["expires_at"] - found["issued_at"] <= 120
    await command(folder, "sessions", "revoke", "--subject", "alice")
    done = await command(folder, "tokens", "inspect", stdin=token)
    assert done.status == 1
    assert "token_revoked" in done.out
    assert token not in done.out + done.err
    assert token.rpartition(".")[2] not in done.out


@pytest.mark.parametrize(
    ("text", "what", "ours"),
    [
        ("wsk_0123456789abcdef", "API key", False),
        ("wsr." + "a" * 32 + ".0." + "a" * 43, "refresh token", False),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.AA", "token of type jwt", False),
        ("eyJhbGciOiJFZERTQSIsImp3ayI6e319.eyJzdWIiOiJhbGljZSJ9.AA", "token", False),
        ("hello", "nothing that wsauth knows", False),
    ],
)
async def test_what_others_made_is_not_ours(folder: Path, text: str, what: str, ours: bool) -> None:
    """What we did not make is told apart, and is not good."""
    done = await command(folder, "tokens", "inspect", "--json", stdin=text)
    found = done.json()
    assert (done.status, found["what"], found["ours"], found["good"]) == (1, what, ours, False)
    assert text not in done.out


async def test_a_token_for_somebody_unknown(folder: Path) -> None:
    """A token may be for a subject that is no user, and `sessions revoke --subject` ends it too."""
    issued = await command(folder, "tokens", "issue", "--subject", "robot", "--json")
    assert "there is no user" not in issued.out
    token = secret(issued.json()["token"], "a token")
    assert (await command(folder, "tokens", "inspect", stdin=token)).status == 0
    await command(folder, "sessions", "revoke", "--subject", "robot")
    assert (await command(folder, "tokens", "inspect", stdin=token)).status == 1


async def test_keys_rotate_in_phases(folder: Path) -> None:
    """A new key is published first and signs later; the only key that signs is not removed."""
    first = (await command(folder, "keys", "list", "--json")).json()
    assert [key["state"] for key in first] == ["signing"]
    assert re.search(r"it signs in 5 min \d+ s$", (await command(folder, "keys", "rotate")).out)
    listed = (await command(folder, "keys", "list", "--json")).json()
    assert [key["state"] for key in listed] == ["signing", "published"]
    refused = await command(folder, "keys", "remove", first[0]["kid"])
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "--now" in refused.err
    await command(folder, "keys", "rotate", "--now")
    listed = (await command(folder, "keys", "list", "--json")).json()
    assert [key["state"] for key in listed] == ["verifying", "published", "signing"]


async def test_help_and_version_need_no_configuration(tmp_path: Path) -> None:
    """`--help` names every command, and neither it nor `--version` makes a file."""
    helped = await command(tmp_path, "--help", environ={"WSAUTH_CONFIG": "nowhere.toml"})
    assert helped.status == 0
    for verb in ("serve", "demo", "init", "check", "users", "sessions", "tokens", "keys", "connect"):
        assert re.search(rf"^  {verb} ", helped.out, re.MULTILINE)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", (await command(tmp_path, "--version")).out)
    assert list(tmp_path.iterdir()) == []


async def test_the_process_list_shows_no_secret(folder: Path) -> None:
    """While a command waits, neither its arguments nor its environment hold the password that was typed."""
    async with terminal(folder, "users", "set-password", "alice") as screen:
        await screen.expect("New password: ")
        screen.type(f"{PASSWORD}\n")
        await screen.expect("Repeat for confirmation: ")
        for name in ("cmdline", "environ"):
            assert b"horse" not in Path(f"/proc/{screen.pid}/{name}").read_bytes()
        os.kill(screen.pid, signal.SIGINT)
        assert await screen.status() == 130
