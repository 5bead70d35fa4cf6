"""What may be presented in a message on a route."""

import pytest

from tests.unit.core.protocol.driving import policy
from wsauth.core.protocol.presented import accepts, read_first, read_renewal
from wsauth.errors import Refused

TICKET = '{"type":"auth","ticket":"t"}'
PASSWORD = '{"type":"auth","username":"alice","password":"p"}'
MESSAGE_ONLY = policy(sources=frozenset({"message"}))
WITH_BASIC = policy(sources=frozenset({"message", "basic"}))


@pytest.mark.parametrize("text", [TICKET, PASSWORD])
def test_a_route_takes_only_its_sources(text: str) -> None:
    """A ticket and a password in a message need `ticket` and `basic`, first and later; the log names the line."""
    with pytest.raises(Refused) as first:
        read_first(text, MESSAGE_ONLY, private=True, first=True)
    with pytest.raises(Refused) as later:
        read_renewal(text, MESSAGE_ONLY, private=True)
    assert first.value.code == later.value.code == "credentials_invalid"
    assert first.value.mend in ('sources = [..., "ticket"]', 'sources = [..., "basic"]')


def test_a_password_is_not_taken_where_others_could_hear_it() -> None:
    """Over plain ws:// from elsewhere it is refused, and not offered either."""
    with pytest.raises(Refused, match="plain ws://"):
        read_first(PASSWORD, WITH_BASIC, private=False, first=True)
    assert read_first(PASSWORD, WITH_BASIC, private=True, first=True).username == "alice"
    assert accepts(WITH_BASIC, private=False) == ["token"]
    assert accepts(WITH_BASIC, private=True) == ["token", "password"]


def test_the_plain_text_form_of_a_password_needs_basic_too() -> None:
    """`Authorization: Basic …` as a message follows the same rules."""
    text = "Authorization: Basic YWxpY2U6cA=="
    assert read_first(text, WITH_BASIC, private=True, first=True).secret == "p"
    with pytest.raises(Refused, match="no source"):
        read_first(text, MESSAGE_ONLY, private=True, first=True)


def test_a_message_that_presents_nothing_is_the_applications_or_a_stray_one() -> None:
    """Later it is `None`; before authentication it is refused as missing."""
    assert read_renewal("hello", MESSAGE_ONLY, private=True) is None
    assert read_renewal("Authorization: Bearer t", MESSAGE_ONLY, private=True) is None
    with pytest.raises(Refused) as refused:
        read_first("hello", MESSAGE_ONLY, private=True, first=True)
    assert refused.value.code == "credentials_missing"
