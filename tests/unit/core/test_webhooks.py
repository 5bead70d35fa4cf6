"""Where alerts may go, and that a receiver's own library takes them for ours."""

import json
import pickle
import time
from base64 import b64encode

import pytest
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError

from wsauth.core.webhooks import Webhook
from wsauth.errors import ConfigurationError

KEY = b"0123456789abcdefghijklmn"
SECRET = f"whsec_{b64encode(KEY).decode()}"


def test_the_receivers_library_takes_the_signature() -> None:
    """A body that was changed on the way is refused by it."""
    body = b'{"type":"token_reuse"}'
    headers = Webhook("https://example.com/a", SECRET).headers("msg_1", time.time(), body)
    assert Receiver(SECRET).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Receiver(SECRET).verify(body.replace(b"reuse", b"abuse"), headers)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("example.com/a", "write https://HOST/PATH"),
        ("ftp://example.com/a", "write https://HOST/PATH"),
        ("https:///a", "write https://HOST/PATH"),
        ("https://example.com:port/", "write https://HOST/PATH"),
        ("https://exa mple.com/", "write https://HOST/PATH"),
        ("http://example.com/a", "by https only"),
        ("http://127.0.0.1.example.com/a", "by https only"),
        ("https://user:pass@example.com/", "without a user"),
    ],
)
def test_alerts_go_nowhere_in_the_clear(url: str, said: str) -> None:
    """https, or http to this machine; nothing else is an address."""
    with pytest.raises(ConfigurationError, match=said):
        Webhook(url, SECRET)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a", "http://[::1]/", "http://localhost:9/", "https://example.com"])
def test_this_machine_may_be_told_without_tls(url: str) -> None:
    """Nobody can listen there."""
    assert Webhook(url, SECRET).url == url


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        KEY.decode(),
        f"whsec_{b64encode(KEY[:23]).decode()}",
        f"whsec_{b64encode(KEY * 3).decode()}",
        "whsec_!",
    ],
)
def test_a_secret_that_is_none_is_not_shown(secret: str) -> None:
    """It says how one is made, and keeps what was written to itself."""
    with pytest.raises(ConfigurationError, match="openssl rand -base64 32") as error:
        Webhook("https://example.com", secret)
    assert not secret.removeprefix("whsec_") or secret not in str(error.value)


def test_an_event_that_is_none_is_told() -> None:
    """A name that nothing has would never be sent."""
    with pytest.raises(ConfigurationError, match="'logins' is none of login_failures"):
        Webhook("https://example.com", SECRET, ["logins"])


def test_a_secret_stays_where_it_is() -> None:
    """Neither repr nor pickle has it, nor the path of the URL, which is one for some receivers."""
    webhook = Webhook("https://hooks.example.com/T0/B0/secret-path", SECRET)
    assert repr(webhook) == "Webhook('hooks.example.com', secret=<hidden>)"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(webhook)
