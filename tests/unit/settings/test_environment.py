"""The environment, laid over the file."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.settings.reading import Folder
from wsauth.errors import ConfigurationError
from wsauth.settings.declarations import toml
from wsauth.settings.environment import secret

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
"""Every example writes the file anew."""


ECHO = '[[routes]]\nupstream = "echo"\n'
PAGES = '[server]\norigins = ["https://a.example", "https://b.example"]'


@pytest.mark.parametrize(
    ("name", "text", "same"),
    [
        ("SERVER__HOST", "localhost", '[server]\nhost = "localhost"'),
        ("SERVER__INSECURE_PLAINTEXT", "true", "[server]\ninsecure_plaintext = true"),
        ("SERVER__ORIGINS", "https://a.example, https://b.example", PAGES),
        ("SERVER__ORIGINS", '["https://a.example", "https://b.example"]', PAGES),
        ("SERVER__ORIGINS", "", "[server]\norigins = []"),
        ("SERVER__TLS_MINIMUM", "1.2", '[server]\ntls_minimum = "1.2"'),
        ("TOKENS__ACCESS_TTL", "10m", '[tokens]\naccess_ttl = "10m"'),
        ("TOKENS__ACCESS_TTL", "90.5", "[tokens]\naccess_ttl = 90.5"),
        ("SERVER__DRAIN_TIMEOUT", "0", "[server]\ndrain_timeout = 0"),
        ("ROLES__MEMBER", "chat:*:read", '[roles]\nmember = ["chat:*:read"]'),
        ("ROLES", '{member = ["chat:*:read"]}', '[roles]\nmember = ["chat:*:read"]'),
        ("ROUTES__0__PATH", "/chat", '[[routes]]\npath = "/chat"\nupstream = "echo"'),
        ("ROUTES__0__REQUIRE__0", "chat:read", '[[routes]]\nupstream = "echo"\nrequire = ["chat:read"]'),
        ("PASSWORDS__LOCKOUT_AFTER", "10", ""),
        ("ROUTES__0__REMOVE_HEADERS", "X-User, X-Forwarded-User, Remote-User", ""),
        ("ROUTES__0__REMOVE_HEADERS__0", "8", f'{ECHO}remove_headers = ["8"]'),
        ("ROUTES__0__UPSTREAM", "ws://127.0.0.1:9000", '[[routes]]\nupstream = "ws://127.0.0.1:9000"'),
        ("ROUTES__0__UPSTREAM", "ws://a,unix:/b", '[[routes]]\nupstream = ["ws://a", "unix:/b"]'),
        ("ROUTES__0__FORWARD_CLAIMS", '{email = "X-Email"}', f'{ECHO}forward_claims = {{email = "X-Email"}}'),
        ("ROUTES__0__FORWARD_CLAIMS__EMAIL", "X-Email", f'{ECHO}forward_claims = {{email = "X-Email"}}'),
        ("ROUTES__0__ASSERTION", "false", f"{ECHO}assertion = false"),
        ("ROUTES__0__COMPRESSION", "true", f"{ECHO}compression = true"),
        ("ROUTES__0__ON_RIGHTS_CHANGE", "keep", f'{ECHO}on_rights_change = "keep"'),
        ("ROUTES__0__UPSTREAM_TIMEOUT", "2.5", f'{ECHO}upstream_timeout = "2500ms"'),
        ("ROUTES__0__UPSTREAM_PATH", "/8", f'{ECHO}upstream_path = "/8"'),
        ("ROUTES__0__CERTIFICATE_SUBJECT", "uri", f'{ECHO}certificate_subject = "uri"'),
    ],
)
def test_a_variable_says_what_the_file_would(folder: Folder, name: str, text: str, same: str) -> None:
    """The same value by either way is the same configuration."""
    assert folder.load("", {f"WSAUTH__{name}": text}) == folder.load(same)


@SAME_FOLDER
@given(port=st.integers(0, 65535))
def test_numbers_are_read_as_numbers(folder: Folder, port: int) -> None:
    """Any port can come from the environment."""
    assert folder.load("", {"WSAUTH__SERVER__PORT": str(port)}).server.port == port


@SAME_FOLDER
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_texts_are_not_interpreted(folder: Folder, text: str) -> None:
    """What looks like a number or a list is a text where a text is declared."""
    found = folder.load("", {"WSAUTH__TOKENS__AUDIENCE": text}).tokens.audience
    assert found == text == folder.load(f"[tokens]\naudience = {toml(text)}").tokens.audience


def test_a_number_after_the_last_makes_a_new_route(folder: Folder) -> None:
    """Routes can be added, in any order of the variables."""
    environ = {"WSAUTH__ROUTES__1__UPSTREAM": "echo", "WSAUTH__ROUTES__1__PATH": "/b", "WSAUTH__ROUTES__0__PATH": "/a"}
    assert [route.path for route in folder.load("", environ).routes] == ["/a", "/b"]
    many = {f"WSAUTH__ROUTES__{at}__PATH": f"/{at}" for at in range(12)}
    many |= {f"WSAUTH__ROUTES__{at}__UPSTREAM": "echo" for at in range(12)}
    assert [route.path for route in folder.load("", many).routes] == [f"/{at}" for at in range(12)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("WSAUTH__ROUTES__2__PATH", "there is no routes[2]; the next one is routes[1]"),
        ("WSAUTH__ROUTES__FIRST__PATH", "routes is a list; write a number in place of 'first'"),
        ("WSAUTH__ROUTES__1__PATH", 'routes[1].upstream is missing: write upstream = "echo"'),
        ("WSAUTH__SERVER__PROT", '"prot" is not a key of [server]; did you mean server.port?'),
        ("WSAUTH__SERVR__PORT", '"servr" is not a key of the configuration; did you mean server?'),
        ("WSAUTH__SERVER__PORT__X", "server.port is not a whole number: write port = 8080"),
        ("WSAUTH__SERVER", 'server = "/x" is not a table'),
        ("WSAUTH____PORT", '"" is not a key of the configuration'),
        ("WSAUTH__SERVER__HOST_FILE", '"host_file" is not a key of [server]; did you mean server.host?'),
        ("WSAUTH__STORE__KEY_FIL", '"key_fil" is not a key of [store]; did you mean store.key_file?'),
    ],
)
def test_a_variable_that_means_nothing_is_an_error(folder: Folder, name: str, said: str) -> None:
    """The error begins with the variable's name."""
    assert folder.refused("", {name: "/x"}).startswith(f"{name}: {said}")


def test_a_variable_inside_a_plain_value_is_an_error(folder: Folder) -> None:
    """A port has no keys."""
    line = folder.refused("[server]\nport = 1", {"WSAUTH__SERVER__PORT__X": "1"})
    assert line == "WSAUTH__SERVER__PORT__X: server.port is no table; remove the variable"


def test_other_variables_are_not_ours(folder: Folder) -> None:
    """Only two underscores begin a key."""
    assert folder.load("", {"WSAUTH_ADMIN_PASSWORD": "x", "PATH": "/bin"}) == folder.load("")


def test_what_may_hold_a_secret_can_come_from_a_file(folder: Folder) -> None:
    """The store's URL is read from the file that the variable names, without the end of its line."""
    named = folder.path / "url"
    named.write_text("sqlite:////srv/a.db\n", "utf-8")
    environ = {"WSAUTH__STORE__URL_FILE": str(named)}
    assert folder.load("", environ).store.path == Path("/srv/a.db")
    twice = folder.refused("", environ | {"WSAUTH__STORE__URL": "sqlite:///b.db"})
    assert twice == "WSAUTH__STORE__URL and WSAUTH__STORE__URL_FILE are both set: remove one"


def test_a_key_that_ends_in_file_is_a_key(folder: Folder) -> None:
    """WSAUTH__STORE__KEY_FILE names the key file itself."""
    assert folder.load("", {"WSAUTH__STORE__KEY_FILE": "/srv/a.key"}).store.key_file == "/srv/a.key"


def test_a_secret_comes_from_a_variable_or_from_a_file(tmp_path: Path) -> None:
    """What is not set is None, and what cannot be read is an error that names the variable."""
    (tmp_path / "password").write_text("correct horse\n", "utf-8")
    assert secret({"P": "battery"}, "P") == "battery"
    assert secret({"P_FILE": str(tmp_path / "password")}, "P") == "correct horse"
    assert secret({}, "P") is None
    with pytest.raises(ConfigurationError, match=r"^P_FILE: No such file"):
        secret({"P_FILE": str(tmp_path / "nowhere")}, "P")
    (tmp_path / "password").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"^P_FILE: it is not UTF-8"):
        secret({"P_FILE": str(tmp_path / "password")}, "P")
