"""The file: found, read, and its paths."""

import os
from pathlib import Path

import pytest

from tests.unit.settings.reading import Folder
from wsauth.errors import ConfigurationError
from wsauth.settings import Settings, load
from wsauth.settings.loading import located

CONTRACT = """\
[server]
host = "127.0.0.1"
port = 8080
public_url = ""
allowed_hosts = []
origins = []
workers = 1
tls_certificate = ""
tls_key = ""
tls_client_ca = ""
trusted_proxies = []
insecure_plaintext = false
max_request_head = "16KiB"
request_timeout = "10s"
drain_timeout = "30s"
[store]
url = "sqlite:///wsauth.db"
shared = ""
key_file = "wsauth.key"
feed_timeout = "5s"
on_feed_loss = "refuse"
[tokens]
issuer = ""
audience = "wsauth"
algorithm = "EdDSA"
access_ttl = "5m"
refresh_ttl = "7d"
session_ttl = "30d"
refresh_grace = "20s"
ticket_ttl = "30s"
[roles]
[[routes]]
path = "/ws"
upstream = "echo"
sources = ["header", "cookie", "ticket", "subprotocol", "message"]
origins = []
require = []
anonymous = false
subprotocols = []
token_in_every_message = false
auth_timeout = "10s"
auth_attempts = 3
grace = "10s"
max_connection_age = "24h"
follow_session = false
on_rights_change = "reconnect"
compression = false
max_message = "64KiB"
max_unauthenticated_message = "16KiB"
idle_timeout = ""
message_rules = ""
remove_headers = ["X-User", "X-Forwarded-User", "Remote-User"]
forward_claims = {}
assertion = true
upstream_ca = ""
upstream_certificate = ""
upstream_key = ""
upstream_host = ""
upstream_path = ""
upstream_timeout = "5s"
certificate_subject = "cn"
refusals = "auto"
[login]
form = false
[passwords]
minimum_length = 15
maximum_length = 256
require_classes = 0
minimum_strength = 3
lockout_after = 10
lockout_for = "15m"
[admin]
listen = "127.0.0.1:8081"
"""
"""The defaults that users rely on, as they write them."""


def test_the_defaults_are_those_that_users_rely_on(folder: Folder) -> None:
    """A file that says every default is the same as an empty one."""
    assert folder.load(CONTRACT) == folder.load("")


def test_values_are_typed(folder: Folder) -> None:
    """Durations are seconds, sizes are bytes, and off is 0."""
    settings = folder.load('[server]\nmax_request_head = "8KiB"\ndrain_timeout = ""\n[tokens]\naccess_ttl = "10m"')
    assert settings.server.max_request_head == 8192
    assert settings.server.drain_timeout == 0.0
    assert settings.tokens.access_ttl == 600.0
    assert isinstance(settings.tokens.access_ttl, float)


def test_a_route_keeps_durations_as_written(folder: Folder) -> None:
    """What a route says is handed on to the guard's Route, which reads it."""
    route = folder.load('[[routes]]\nupstream = "echo"\ngrace = "7s"\nidle_timeout = 60').routes[0]
    assert route.path == "/ws"
    assert route.policy()["grace"] == "7s"
    assert route.policy()["idle_timeout"] == 60
    assert not {"path", "upstream", "follow_session", "origins"} & set(route.policy())


def test_what_a_route_says_of_its_upstream_is_typed(folder: Folder) -> None:
    """These are not the guard's, so they are read here."""
    toml = 'upstream_timeout = "500ms"\nupstream_host = "a.example:8443"\nupstream_path = "/b/"\ncompression = true'
    route = folder.load(f'[[routes]]\nupstream = "ws://a"\n{toml}').routes[0]
    assert (route.upstream_timeout, route.upstream_host, route.upstream_path) == (0.5, "a.example:8443", "/b/")
    assert (route.compression, route.assertion, route.certificate_subject) == (True, True, "cn")
    assert folder.load().routes[0].upstream_timeout == 5.0


def test_relative_paths_are_relative_to_the_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory does not matter where there is a file."""
    monkeypatch.chdir("/")
    settings = folder.load('[store]\nurl = "sqlite:///data/a.db"\n[admin]\nlisten = "unix:admin.sock"')
    assert settings.store.path == folder.path / "data" / "a.db"
    assert settings.store.url == f"sqlite:///{folder.path}/data/a.db"
    assert settings.store.key_file == str(folder.path / "wsauth.key")
    assert settings.admin.address == folder.path / "admin.sock"


def test_absolute_paths_stay(folder: Folder) -> None:
    """Four slashes begin an absolute path."""
    settings = folder.load('[store]\nurl = "sqlite:////srv/a.db"\nkey_file = "/srv/a.key"')
    assert settings.store.path == Path("/srv/a.db")
    assert settings.store.key_file == "/srv/a.key"


def test_without_a_file_paths_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has to be written."""
    monkeypatch.chdir(tmp_path)
    settings = load(None, {})
    assert settings.store.path == tmp_path / "wsauth.db"
    assert [(route.path, route.upstream) for route in settings.routes] == [("/ws", "echo")]


def test_the_file_of_the_working_directory_is_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by its name, wsauth.toml."""
    folder.load("[server]\nport = 9001")
    monkeypatch.chdir(folder.path)
    assert load(None, {}).server.port == 9001
    assert located(None, {}) == folder.file


def test_a_variable_names_the_file(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    """WSAUTH_CONFIG counts more than the working directory and less than --config."""
    folder.load("[server]\nport = 9001")
    other = tmp_path_factory.mktemp("other") / "b.toml"
    other.write_text("[server]\nport = 9002", "utf-8")
    assert load(None, {"WSAUTH_CONFIG": str(other)}).server.port == 9002
    assert load(folder.file, {"WSAUTH_CONFIG": str(other)}).server.port == 9001


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """A wrong name does not mean the defaults."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: No such file.*wsauth init"):
        load(tmp_path / "nowhere.toml", {})


def test_a_file_that_is_not_toml_is_refused_with_the_line(folder: Folder) -> None:
    """The error names file and line."""
    line = folder.refused("[server]\nport = \n")
    assert line.startswith(f"{folder.file}: not TOML: ")
    assert "line 2" in line


def test_a_file_must_be_utf_8_and_may_begin_with_a_mark(folder: Folder) -> None:
    """Editors on Windows write a byte order mark."""
    folder.file.write_bytes(b"\xef\xbb\xbf[server]\nport = 9001\n")
    assert load(folder.file, {}).server.port == 9001
    folder.file.write_bytes(b"# \xff\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load(folder.file, {})


def test_options_count_most(folder: Folder) -> None:
    """The command line counts more than the environment, and that more than the file."""
    environ = {"WSAUTH__SERVER__PORT": "9002", "WSAUTH__SERVER__WORKERS": "2"}
    settings = folder.load("[server]\nport = 9001\nworkers = 3\nhost = 'localhost'", environ, {"port": 9003})
    assert (settings.server.port, settings.server.workers, settings.server.host) == (9003, 2, "localhost")


def test_an_option_that_was_not_given_changes_nothing(folder: Folder) -> None:
    """None is how click says so."""
    assert folder.load("", None, dict.fromkeys(("host", "port", "upstream", "store", "workers"))) == folder.load("")


def test_the_store_of_the_command_line_is_relative_to_the_working_directory(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever types a path means it as the shell does."""
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    assert folder.load("", None, {"store": "sqlite:///b.db"}).store.path == Path(os.getcwd()) / "b.db"


def test_upstream_serves_every_path_and_keeps_what_routes_demand(folder: Folder) -> None:
    """An option on the command line opens no route that the file guards."""
    toml = '[[routes]]\npath = "/staff"\nupstream = "echo"\nrequire = ["staff:read"]'
    routes = folder.load(toml, None, {"upstream": "asgi:chat:app"}).routes
    assert [(route.path, route.upstream, route.require) for route in routes] == [
        ("/staff", "asgi:chat:app", ("staff:read",)),
        ("/*", "asgi:chat:app", ()),
    ]
    assert [route.path for route in folder.load("", None, {"upstream": "echo"}).routes] == ["/*"]


def test_a_dump_restores_the_same(folder: Folder) -> None:
    """A worker gets from its parent what the parent has read."""
    settings = folder.load(
        '[roles]\nmember = ["chat:*:read"]\n[[routes]]\nupstream = "echo"\nidle_timeout = 1.5\nmax_message = 0\n'
        'forward_claims = {email = "X-Wsauth-Email"}\nremove_headers = ["X-Team"]\nupstream_timeout = "1m"\n'
        'upstream_host = "a:1"\nupstream_path = "/b"\non_rights_change = "keep"\ncertificate_subject = "uri"'
    )
    assert Settings.restore(settings.dump()) == settings


def test_settings_are_frozen(folder: Folder) -> None:
    """Nobody changes the configuration of a running server."""
    settings = folder.load()
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1
