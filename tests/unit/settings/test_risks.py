"""What is allowed and warned of."""

import pytest

from tests.unit.settings.reading import Folder
from wsauth.settings import warnings

ROUTE = '[[routes]]\nupstream = "echo"\n'


def test_the_defaults_are_safe(folder: Folder) -> None:
    """Nothing is said of a server that nobody configured."""
    assert warnings(folder.load()) == []


@pytest.mark.parametrize(
    ("toml", "begins"),
    [
        ("[server]\ninsecure_plaintext = true", "server.insecure_plaintext = true: "),
        ('[server]\ntls_minimum = "1.2"', 'server.tls_minimum = "1.2": '),
        (
            '[server]\npublic_url = "https://a.example"\ntrusted_proxies = ["0.0.0.0/0"]',
            "server.trusted_proxies names every address: ",
        ),
        ('[server]\ntrusted_proxies = ["private"]', "server.public_url is empty behind a proxy: "),
        ('[server]\npublic_url = "http://a.example"', "server.public_url begins with http: "),
        ('[server]\norigins = ["http://a.example"]', "server.origins names http://a.example: "),
        (f'{ROUTE}sources = ["ticket"]\norigins = ["*"]', 'routes[0].origins = ["*"]: '),
        ('[tokens]\naccess_ttl = "61m"', "tokens.access_ttl is over an hour: "),
        ('[tokens]\nticket_ttl = "6m"', "tokens.ticket_ttl is over five minutes: "),
        ('[tokens]\nrefresh_grace = "2m"', "tokens.refresh_grace is over a minute: "),
        ('[tokens]\nrefresh_ttl = "31d"', "tokens.refresh_ttl is over tokens.session_ttl: "),
        ("[passwords]\nminimum_length = 12", "passwords.minimum_length is under 15: "),
        ("[passwords]\nmaximum_length = 32", "passwords.maximum_length is under 64: "),
        (f'{ROUTE}sources = ["insecure_query"]', 'routes[0].sources has "insecure_query": '),
        (f'{ROUTE}sources = ["insecure_bare_subprotocol"]', 'routes[0].sources has "insecure_bare_subprotocol": '),
        (f'{ROUTE}sources = ["basic"]', 'routes[0].sources has "basic": '),
        (f'{ROUTE}max_connection_age = ""', "routes[0].max_connection_age is off: "),
        (f"{ROUTE}max_message = 0", "routes[0].max_message is off: "),
        (f"{ROUTE}max_unauthenticated_message = 0", "routes[0].max_unauthenticated_message is off: "),
    ],
)
def test_each_unsafe_choice_is_named_with_its_risk(folder: Folder, toml: str, begins: str) -> None:
    """One choice, one line: the key, a colon, and what can happen."""
    (line,) = warnings(folder.load(toml))
    assert line.startswith(begins)
    assert len(line) > len(begins) + 20


def test_an_open_server_says_so_in_full(folder: Folder) -> None:
    """Every address, in plain text, the admin API too."""
    found = warnings(
        folder.load('[server]\nhost = "0.0.0.0"\ninsecure_plaintext = true\n[admin]\nlisten = "0.0.0.0:1"')
    )
    assert [line.split(" ")[0] for line in found] == [
        "server.insecure_plaintext",
        "server.public_url",
        "admin.listen",
    ]


@pytest.mark.parametrize(("mode", "verb"), [(0o644, "read"), (0o660, "write"), (0o600, None)])
def test_files_that_others_can_use_are_named(folder: Folder, mode: int, verb: str | None) -> None:
    """The key file and the store are their owner's (ATTACKS LG-13)."""
    settings = folder.load()
    for name in ("wsauth.key", "wsauth.db"):
        (folder.path / name).touch()
        (folder.path / name).chmod(mode)
    found = [line.partition(f" {folder.path}")[0] for line in warnings(settings)]
    assert found == ([f"store.key_file: others can {verb}", f"store.url: others can {verb}"] if verb else [])


def test_a_configuration_that_others_can_write_is_named(folder: Folder) -> None:
    """Whoever writes it decides who may come in; reading it is harmless."""
    settings = folder.load()
    folder.file.chmod(0o664)
    (line,) = warnings(settings, folder.file)
    assert line.startswith(f"the configuration: others can write {folder.file}: ")
    folder.file.chmod(0o644)
    assert warnings(settings, folder.file) == []
