"""What follows from the configuration: names, origins, hosts."""

from ipaddress import ip_address

import pytest

from tests.unit.settings.reading import Folder
from wsauth.guard.route import policy_of
from wsauth.settings import Settings

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def test_on_loopback_every_loopback_name_is_our_own(folder: Folder) -> None:
    """A page at localhost and one at 127.0.0.1 are both ours, on the port that is listened on."""
    settings = folder.load("[server]\nport = 0")
    assert settings.public_url(5000) == settings.issuer(5000) == "http://127.0.0.1:5000"
    assert set(settings.own_origins(5000)) == {
        "http://127.0.0.1:5000",
        "http://localhost:5000",
        "http://[::1]:5000",
    }
    assert settings.allowed_hosts(5000) == LOOPBACK


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://ws.example.com", "https://ws.example.com"),
        ("https://WS.example.com:443/", "https://ws.example.com"),
        ("https://ws.example.com:8443", "https://ws.example.com:8443"),
        ("http://[2001:db8::7]:8080", "http://[2001:db8::7]:8080"),
    ],
)
def test_a_public_url_is_the_only_origin_of_ours(folder: Folder, written: str, origin: str) -> None:
    """It is spelled as browsers spell it; a page on a visitor's own machine is not ours."""
    settings = folder.load(f'[server]\npublic_url = "{written}"')
    assert settings.own_origins() == (origin,)
    assert settings.public_url() == settings.issuer() == origin


def test_the_default_port_is_left_out(folder: Folder) -> None:
    """Browsers leave it out too."""
    assert folder.load("[server]\nport = 80").public_url() == "http://127.0.0.1"


@pytest.mark.parametrize(
    ("toml", "hosts"),
    [
        ('public_url = "https://ws.example.com"', {"ws.example.com", *LOOPBACK}),
        ('host = "::1"', LOOPBACK),
        ('host = "192.0.2.7"\ninsecure_plaintext = true', {"192.0.2.7"}),
        ('host = "192.0.2.7"\ninsecure_plaintext = true\npublic_url = "http://a.example"', {"a.example"}),
        ('host = "0.0.0.0"\ninsecure_plaintext = true\npublic_url = "http://a.example"', {"a.example", *LOOPBACK}),
        ('host = "0.0.0.0"\ninsecure_plaintext = true', LOOPBACK),
        ('allowed_hosts = ["B.example", "[::1]"]', {"b.example", "::1"}),
    ],
)
def test_which_names_are_answered(folder: Folder, toml: str, hosts: set[str]) -> None:
    """Public_url's, the loopback names where loopback is listened on, or what is written."""
    assert folder.load(f"[server]\n{toml}").allowed_hosts() == hosts


def test_a_route_may_have_pages_of_its_own(folder: Folder) -> None:
    """What a route says stands in place of what the server says; our own are in the server's."""
    settings = folder.load(
        '[server]\norigins = ["https://app.example"]\npublic_url = "https://ws.example"\n'
        '[[routes]]\nupstream = "echo"\n[[routes]]\npath = "/staff"\nupstream = "echo"\norigins = ["https://staff.example"]'
    )
    chat, staff = settings.routes
    assert settings.origins() == settings.origins(chat) == ("https://ws.example", "https://app.example")
    assert settings.origins(staff) == ("https://staff.example",)


def test_an_issuer_may_be_written(folder: Folder) -> None:
    """Tokens keep their issuer when the server moves."""
    assert folder.load('[tokens]\nissuer = "https://login.example"').issuer() == "https://login.example"


@pytest.mark.parametrize(
    ("written", "inside", "outside"),
    [
        ('["private"]', ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "::1", "fd00::1"], ["192.0.2.7"]),
        ('["192.0.2.7"]', ["192.0.2.7"], ["192.0.2.8", "127.0.0.1"]),
        ('["192.0.2.0/24", "2001:db8::/32"]', ["192.0.2.8", "2001:db8::1"], ["192.0.3.1", "2001:db9::1"]),
    ],
)
def test_trusted_proxies_are_networks(folder: Folder, written: str, inside: list[str], outside: list[str]) -> None:
    """An address is a network of one, and "private" is what no other network routes."""
    proxies = folder.load(f"[server]\ntrusted_proxies = {written}").server.proxies
    assert all(any(ip_address(each) in network for network in proxies) for each in inside)
    assert not any(ip_address(each) in network for network in proxies for each in outside)


def test_settings_without_a_file_are_the_defaults() -> None:
    """Tests and tools need no file."""
    settings = Settings()
    assert settings.server.port == 8080
    assert settings.routes[0].path == "/ws"
    assert settings.tokens.session_ttl == 30 * 86_400.0


def test_a_guard_gets_none_of_the_servers_own_keys(folder: Folder) -> None:
    """What only the gateway reads is no key of a guard's Route, which would refuse it."""
    (route,) = folder.load('[[routes]]\nupstream = "ws://127.0.0.1:9000"').routes
    handed = set(route.policy())
    assert not [name for name in handed if name.startswith("upstream")]
    assert not handed & {"compression", "remove_headers", "forward_claims", "assertion"}
    assert {"sources", "require", "max_message", "refusals"} <= handed


def test_a_guard_takes_what_a_route_says(folder: Folder) -> None:
    """Every key that a route hands on is one of the guard's, and means the same there."""
    (route,) = folder.load(
        '[[routes]]\nupstream = "echo"\ngrace = "7s"\nmax_message = 0\nrequire = ["a:b"]\ncertificate_subject = "uri"'
    ).routes
    policy = policy_of(route.path, {**route.policy(), "origins": ["https://a.example"]}, 300.0)  # type: ignore[typeddict-item]  # settings stand under the guard, and do not know its types
    assert (policy.grace, policy.max_message, policy.require) == (7.0, 2**63, ("a:b",))
    assert (policy.on_rights_change, policy.certificate_subject) == ("reconnect", "uri")
    assert policy_of("/ws", {"origins": []}, 300.0).sources == frozenset(folder.load().routes[0].sources)
