"""Reading `auth` messages, however a client writes its JSON."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wsauth.core.protocol.control import may_be_auth, read_auth, renew_in
from wsauth.errors import Refused

blanks = st.text(" \t\r\n", max_size=3)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
others = st.dictionaries(texts.filter(lambda name: name not in {"type", "token", "ticket", "username"}), values)


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """Write a JSON text with any of its characters escaped."""
    written = []
    for character in text:
        code = ord(character)
        if character in '"\\' or code < 0x20 or (code < 0x10000 and draw(st.booleans())):
            written.append(f"\\u{code:04x}")
        else:
            written.append(character)
    return '"' + "".join(written) + '"'


@st.composite
def auth_messages(draw: st.DrawFn) -> tuple[str, str]:
    """Write an `auth` message in some way, and return it with its token."""
    token = draw(texts)
    members = [("type", draw(spelled("auth"))), ("token", draw(spelled(token)))]
    members += [(name, json.dumps(value)) for name, value in draw(others).items()]
    written = []
    for name, value in draw(st.permutations(members)):
        key = draw(spelled(name))
        written.append(f"{draw(blanks)}{key}{draw(blanks)}:{draw(blanks)}{value}{draw(blanks)}")
    return f"{draw(blanks)}{{{','.join(written)}}}{draw(blanks)}", token


@given(auth_messages())
def test_an_auth_message_is_read_in_every_spelling(written: tuple[str, str]) -> None:
    """Member order, white space and escapes make no difference, and the quick look never says no to one."""
    text, token = written
    assert may_be_auth(text)
    credentials = read_auth(text)
    assert credentials is not None
    assert (credentials.kind, credentials.secret) == ("token", token)


@given(st.text() | values.map(json.dumps) | auth_messages().map(lambda written: written[0][:-3]))
def test_the_quick_look_says_no_only_to_what_is_the_applications(text: str) -> None:
    """Whatever is refused by the quick look is no JSON object of that type with a credential."""
    try:
        message: Any = json.loads(text)
    except ValueError:
        message = None
    is_ours = (
        isinstance(message, dict) and message.get("type") == "auth" and {"token", "ticket", "username"} & set(message)
    )
    assert may_be_auth(text) or not is_ours
    try:
        taken = read_auth(text) is not None
    except Refused:
        taken = True
    assert taken == bool(is_ours)


@given(st.floats(0.001, 1e6), st.floats(0, 1))
def test_renewals_are_spread_over_a_quarter_of_the_lease(expires_in: float, draw: float) -> None:
    """`renew_in` lies between 60 and 85 % of `expires_in`, to the millisecond that the wire has."""
    chosen = renew_in(expires_in, draw)
    assert expires_in * 0.6 - 0.0005 <= chosen <= expires_in * 0.85 + 0.0005
