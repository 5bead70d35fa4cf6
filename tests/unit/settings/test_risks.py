"""What is allowed and warned of."""

import pytest
import trustme

from tests.unit.settings.reading import Folder
from wsauth.settings import warnings

ROUTE = '[[routes]]\nupstream = "echo"\n'
REMOTE = '[[routes]]\nupstream = "wss://chat.example.com"\n'


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
        (f"{ROUTE}compression = true", "routes[0].compression = true: max_message counts compressed bytes"),
        (f'{ROUTE}on_rights_change = "keep"', 'routes[0].on_rights_change = "keep": an upstream goes on'),
        ('[[routes]]\nupstream = "ws://backend:9000"', "routes[0].upstream = ws://backend:9000: whoever is on the way"),
        (
            '[[routes]]\nupstream = ["ws://localhost", "ws://a", "wss://b", "ws://192.0.2.7:1", "unix:/c"]',
            "routes[0].upstream = ws://a, ws://192.0.2.7:1: whoever is on the way",
        ),
        (f"{REMOTE}assertion = false", "routes[0].assertion = false: an upstream"),
        (
            '[[routes]]\nupstream = ["wss://a", "ws://127.0.0.1:1"]\nassertion = false',
            "routes[0].assertion = false: an upstream",
        ),
        (
            f'[tokens]\nalgorithm = "HS256"\n{REMOTE}',
            'routes[0].assertion = true with tokens.algorithm = "HS256": none is sent',
        ),
        (
            '[tokens]\nalgorithm = "HS256"\n[[routes]]\nupstream = "unix:/run/chat.sock"',
            'routes[0].assertion = true with tokens.algorithm = "HS256": none is sent',
        ),
    ],
)
def test_each_unsafe_choice_is_named_with_its_risk(folder: Folder, toml: str, begins: str) -> None:
    """One choice, one line: the key, a colon, and what can happen."""
    (line,) = warnings(folder.load(toml))
    assert line.startswith(begins)
    assert len(line) > len(begins) + 20


@pytest.mark.parametrize(
    "toml",
    [
        REMOTE,
        '[[routes]]\nupstream = "ws://127.0.0.1:9000"\nassertion = false',
        '[[routes]]\nupstream = ["ws://localhost:9000", "unix:/run/chat.sock"]\nassertion = false',
        f"{ROUTE}assertion = false",
        f'[tokens]\nalgorithm = "HS256"\n{ROUTE}',
        f'[tokens]\nalgorithm = "ES256"\n{REMOTE}',
        '[tokens]\nalgorithm = "HS256"\n[[routes]]\nupstream = "ws://[::1]:9000"\nassertion = false',
    ],
)
def test_what_stays_on_this_machine_or_is_proven_is_no_risk(folder: Folder, toml: str) -> None:
    """An upstream behind TLS with an assertion is safe, and so is one that only this machine reaches."""
    assert warnings(folder.load(toml)) == []


def test_a_client_certificate_proves_us_too(folder: Folder) -> None:
    """An upstream that asks for our certificate needs no assertion; one in the clear beside it cannot ask."""
    issued = trustme.CA().issue_cert("gateway.example")
    issued.private_key_pem.write_to_path(folder.path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder.path / "certificate.pem")
    (folder.path / "key.pem").chmod(0o600)
    ours = 'upstream_certificate = "certificate.pem"\nupstream_key = "key.pem"\nassertion = false\n'
    assert warnings(folder.load(REMOTE + ours)) == []
    found = warnings(folder.load(f'[[routes]]\nupstream = ["wss://a", "ws://b"]\n{ours}'))
    assert [line.partition(": ")[0] for line in found] == ["routes[0].upstream = ws://b", "routes[0].assertion = false"]
    (folder.path / "key.pem").chmod(0o640)
    (line,) = warnings(folder.load(REMOTE + ours))
    assert line.startswith(f"routes[0].upstream_key: others can read {folder.path}/key.pem: whoever reads it can pose")


def test_asking_for_certificates_that_no_route_takes_keeps_nobody_out(folder: Folder) -> None:
    """Whoever writes tls_client_ca may believe that nobody comes in without one."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder.path / "ca.pem")
    issued.private_key_pem.write_to_path(folder.path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder.path / "certificate.pem")
    (folder.path / "key.pem").chmod(0o600)
    server = '[server]\ntls_certificate = "certificate.pem"\ntls_key = "key.pem"\ntls_client_ca = "ca.pem"\n'
    (line,) = warnings(folder.load(server))
    assert line.startswith("server.tls_client_ca keeps nobody out: ")
    assert warnings(folder.load(f'{server}{ROUTE}sources = ["certificate"]')) == []


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
