"""What is said of a wrong configuration: one line, with the key and the mend, and no secret."""

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.settings.reading import Folder
from wsauth.settings.declarations import tables, toml

HIDDEN = "hunter2-hunter2"
FUZZING = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
"""Every example writes the file anew."""


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("server = 1", "server = 1 is not a table"),
        ("[server]\nprot = 1", '"prot" is not a key of [server]; did you mean server.port?'),
        ("[sever]\nport = 1", '"sever" is not a key of the configuration; did you mean server?'),
        ("[server]\nport = 'x'", 'server.port = "x" is not a whole number: write port = 8080'),
        ("[server]\nport = true", "server.port = true is not a whole number: write port = 8080"),
        ("[server]\nport = 70000", "server.port = 70000 is over 65535: write port = 8080"),
        ("[server]\nworkers = 0", "server.workers = 0 is under 1: write workers = 1"),
        ("[server]\nhost = 1", 'server.host = 1 is not a text: write host = "127.0.0.1"'),
        ("[server]\nhost = '127.0.0.1:80'", "server.host = '127.0.0.1:80' is not an address: write host and port"),
        ("[server]\ninsecure_plaintext = 'yes'", 'server.insecure_plaintext = "yes" is neither true nor false'),
        (
            "[server]\norigins = 'https://a'",
            'server.origins = "https://a" is not a list: write origins = ["https://a"]',
        ),
        ("[server]\norigins = ['https://a/']", "server.origins: 'https://a/' is not an origin; write scheme://host"),
        ("[server]\norigins = [1]", "server.origins[0] = 1 is not a text: write origins = []"),
        ("[server]\nallowed_hosts = ['a:1']", "server.allowed_hosts: 'a:1' is not a name or an address"),
        ("[server]\npublic_url = 'ws.example.com'", "server.public_url is no address without a path: write public_url"),
        ("[server]\npublic_url = 'https://a/ws'", "server.public_url is no address without a path"),
        ("[server]\npublic_url = 'https://a:99999'", "server.public_url is no address without a path"),
        ("[server]\ntrusted_proxies = ['x']", "server.trusted_proxies: 'x' is neither an address nor a network"),
        ("[server]\ntrusted_proxies = ['10.0.0.7/8']", "server.trusted_proxies: '10.0.0.7/8' is neither an address"),
        ("[server]\nmax_request_head = 0", 'server.max_request_head cannot be off: write max_request_head = "16KiB"'),
        ("[server]\nrequest_timeout = '1x'", "server.request_timeout = '1x' is not a duration such as"),
        ("[server]\ntls_minimum = '1.1'", 'server.tls_minimum = "1.1" is not "1.3" or "1.2": write tls_minimum'),
        ("[store]\nurl = 'mysql://h/x'", 'store.url is not a file of SQLite: write url = "sqlite:///wsauth.db"'),
        ("[store]\nurl = 'sqlite:///:memory:'", "store.url is not a file of SQLite"),
        ("[tokens]\naccess_ttl = ''", 'tokens.access_ttl cannot be off: write access_ttl = "5m"'),
        ("[tokens]\naccess_ttl = true", "tokens.access_ttl = True is not a duration"),
        ("[tokens]\nalgorithm = 'none'", 'tokens.algorithm = "none" is not "EdDSA" or "HS256" or "ES256"'),
        ("[tokens]\naudience = ''", 'tokens.audience = "" is empty: write audience = "wsauth"'),
        ("[roles]\nmember = 'x'", 'roles.member = "x" is not a list: write member = ["x"]'),
        ("[roles]\nmember = ['wsauth:admin']", "roles: 'member' has 'wsauth:admin': what begins with wsauth: is never"),
        ("[roles]\nmember = 1", 'roles.member = 1 is not a list: write member = ["chat:*:read"]'),
        ('[roles]\n"a\\nb" = 1', "roles.a b = 1 is not a list"),
        ("[[routes]]\npath = '/x'", 'routes[0].upstream is missing: write upstream = "echo"'),
        ("[[routes]]\nupstream = 'x'", "routes[0].upstream = 'x' is no upstream: write \"echo\""),
        ("[[routes]]\nupstream = 'echo'\npath = 'x'", "routes[0].path = 'x' is not a path: write /exact"),
        ("[[routes]]\nupstream = 'echo'\npath = '/a*'", "routes[0].path = '/a*' is not a path"),
        ("[[routes]]\nupstream = 'echo'\npath = '/a?b'", "routes[0].path = '/a?b' is not a path"),
        ("[[routes]]\nupstream = 'echo'\n[[routes]]\nupstream = 'echo'", "routes: '/ws' stands there twice"),
        ("[[routes]]\nupstream = 'echo'\nsources = ['x']", "routes[0].sources: unknown 'x'; known are header, basic"),
        ("[[routes]]\nupstream = 'echo'\nrequire = ['a:*']", "routes[0].require: 'a:*' is a pattern"),
        ("[[routes]]\nupstream = 'echo'\nauth_timeout = 0", "routes[0].auth_timeout cannot be off: write auth_timeout"),
        ("[[routes]]\nupstream = 'echo'\nmax_message = '1x'", "routes[0].max_message = '1x' is not a size such as"),
        (
            "[[routes]]\nupstream = 'echo'\non_rights_change = 'close'",
            'routes[0].on_rights_change = "close" is not "reconnect" or "keep": write on_rights_change = "reconnect"',
        ),
        (
            "[[routes]]\nupstream = 'echo'\ncertificate_subject = 'CN'",
            'routes[0].certificate_subject = "CN" is not "cn" or "dns" or "email" or "uri": write certificate_subject',
        ),
        (
            "[[routes]]\nupstream = 'echo'\ncompression = 1",
            "routes[0].compression = 1 is neither true nor false: write compression = false",
        ),
        (
            "[[routes]]\nupstream = 'echo'\nassertion = 'no'",
            'routes[0].assertion = "no" is neither true nor false: write assertion = true',
        ),
        (
            "[[routes]]\nupstream = 'echo'\nupstream_host = 'https://a'",
            "routes[0].upstream_host = 'https://a' is no host: write upstream_host = \"chat.example.com\"",
        ),
        ("[[routes]]\nupstream = 'echo'\nupstream_host = 'a:0'", "routes[0].upstream_host = 'a:0' is no host: write"),
        (
            "[[routes]]\nupstream = 'echo'\nupstream_path = 'chat'",
            "routes[0].upstream_path = 'chat' is not a path: write upstream_path = \"/chat\"",
        ),
        ("[[routes]]\nupstream = 'echo'\nupstream_path = '/a?b'", "routes[0].upstream_path = '/a?b' is not a path"),
        ("[[routes]]\nupstream = 'echo'\nupstream_path = '/a#b'", "routes[0].upstream_path = '/a#b' is not a path"),
        ("[[routes]]\nupstream = 'echo'\nupstream_path = '/a/*'", "routes[0].upstream_path = '/a/*' is not a path"),
        ("[[routes]]\nupstream = 'echo'\nupstream_path = '/a b'", "routes[0].upstream_path = '/a b' is not a path"),
        ("[[routes]]\nupstream = 'echo'\nupstream_path = '/ä'", "routes[0].upstream_path = '/ä' is not a path"),
        (
            "[[routes]]\nupstream = 'echo'\nupstream_timeout = ''",
            'routes[0].upstream_timeout cannot be off: write upstream_timeout = "5s"',
        ),
        (
            "[[routes]]\nupstream = 'echo'\nremove_headers = 'X-User'",
            'routes[0].remove_headers = "X-User" is not a list: write remove_headers = ["X-User"]',
        ),
        (
            "[[routes]]\nupstream = 'echo'\nupstrem_path = '/a'",
            '"upstrem_path" is not a key of [routes[0]]; did you mean routes[0].upstream_path?',
        ),
        ("[passwords]\nminimum_length = 7", "passwords.minimum_length = 7 is under 8: write minimum_length = 15"),
        ("[admin]\nlisten = '8081'", "admin.listen = '8081' is not HOST:PORT, unix:PATH or off: write listen"),
        ("[admin]\nlisten = 'localhost:65536'", "admin.listen = 'localhost:65536' is not HOST:PORT"),
        ("[admin]\nlisten = 'unix:'", "admin.listen = 'unix:' is not HOST:PORT"),
    ],
)
def test_an_error_names_file_key_and_mend(folder: Folder, toml: str, said: str) -> None:
    """Whoever reads the line knows where to write what."""
    assert folder.refused(toml).startswith(f"{folder.file}: {said}")


def test_an_error_of_an_option_names_it(folder: Folder) -> None:
    """The file is not to blame for what the command line says."""
    assert (
        folder.refused("", None, {"port": "x"}) == '--port: server.port = "x" is not a whole number: write port = 8080'
    )


@pytest.mark.parametrize(
    "toml",
    [
        f"[store]\nurl = 'postgresql://alice:{HIDDEN}@db/x'",
        f"[store]\nurl = 'mysql://alice:{HIDDEN}@db/x'",
        f"[store]\nurl = ['{HIDDEN}']",
        f"[store]\nshared = 'redis://:{HIDDEN}@db'",
        f"[store]\npassword = '{HIDDEN}'",
        f"[server]\npublic_url = 'https://alice:{HIDDEN}@a.example'",
        f"[server]\norigins = ['https://alice:{HIDDEN}@a.example']",
        f'[server]\ntls_certificate = "a.pem"\ntls_key = """-----BEGIN PRIVATE KEY-----\n{HIDDEN}\n"""',
        f"[[issuers]]\nclient_secret = '{HIDDEN}'",
        f"[[routes]]\nupstream = 'ws://alice:{HIDDEN}@a.example'",
        f"[[routes]]\nupstream = 'x://alice:{HIDDEN}@a.example'",
        f"password = '{HIDDEN}'",
    ],
)
def test_no_secret_is_in_an_error(folder: Folder, toml: str) -> None:
    """What may be a secret is not repeated."""
    assert HIDDEN not in folder.refused(toml)


KEYS = [(name, key) for name, _, model in tables() for key in (model.model_fields if model else ("member",))]
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.dates(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner), max_leaves=4
)


@FUZZING
@given(place=st.sampled_from(KEYS), value=VALUES)
def test_any_value_is_read_or_refused_in_one_line(folder: Folder, place: tuple[str, str], value: object) -> None:
    """No value of any type at any key ends in a traceback."""
    table, key = place
    head = '[[routes]]\nupstream = "echo"' if table == "routes" and key != "upstream" else f"[{table}]"
    said = folder.outcome(f"{head if key != 'upstream' else '[[routes]]'}\n{key} = {_toml(value)}")
    assert not said or said.startswith(f"{folder.file}: ")
    assert len(said.splitlines()) <= 1


@FUZZING
@given(place=st.sampled_from(KEYS), text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_variable_is_read_or_refused_in_one_line(folder: Folder, place: tuple[str, str], text: str) -> None:
    """No text in any variable ends in a traceback."""
    name = "__".join(("WSAUTH", place[0], *(["0"] if place[0] == "routes" else []), place[1])).upper()
    said = folder.outcome("", {name: text})
    assert not said or said.startswith(f"{name}: ")
    assert len(said.splitlines()) <= 1


def test_numbers_too_long_to_read_are_refused(folder: Folder) -> None:
    """Python itself refuses to read them."""
    digits = "9" * 5000
    assert folder.refused(f"[server]\nport = {digits}").startswith(f"{folder.file}: not TOML: ")
    for name in ("WSAUTH__SERVER__PORT", "WSAUTH__SERVER__ORIGINS", f"WSAUTH__ROUTES__{digits}__PATH"):
        assert folder.refused("", {name: f"[{digits}]" if name.endswith("ORIGINS") else digits}).startswith(f"{name}: ")


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value)
    return toml(value).replace("\x7f", "\\u007f")


@FUZZING
@given(
    table=st.sampled_from(["server", "store", "tokens", "login", "passwords", "admin"]),
    name=st.from_regex(r"x[a-z_]{1,20}", fullmatch=True),
)
def test_no_unknown_key_is_passed_over(folder: Folder, table: str, name: str) -> None:
    """A key that nobody knows is an error that names it, and its value is not repeated."""
    line = folder.refused(f"[{table}]\n{name} = '{HIDDEN}'")
    assert f'"{name}" is not a key of [{table}]' in line
    assert HIDDEN not in line
