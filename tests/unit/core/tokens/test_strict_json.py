"""JSON that can be read in one way only."""

import pytest

from wsauth.core.tokens.strict_json import load_object


def test_an_object_is_returned() -> None:
    """Members of every type come back as Python has them."""
    text = '{"a": [1, 2.5, true, null], "b": {"c": "ü\\u00fc"}}'.encode()
    assert load_object(text) == {"a": [1, 2.5, True, None], "b": {"c": "üü"}}


def test_nesting_has_a_limit() -> None:
    """An object of 32 floors is read, and one of 33 is not."""
    assert load_object(b'{"a":' * 31 + b"{}" + b"}" * 31)
    with pytest.raises(ValueError, match="deeply"):
        load_object(b'{"a":' * 32 + b"{}" + b"}" * 32)


def test_width_has_no_limit_of_its_own() -> None:
    """Many small lists side by side are not deep."""
    assert len(load_object(b'{"a":[' + b"[]," * 500 + b"[]]}")["a"]) == 501


def test_a_whole_surrogate_pair_is_a_character() -> None:
    """An escaped pair is the character that it stands for."""
    assert load_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"{} x", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'\xef\xbb\xbf{"a":1}', "not JSON"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"\\ud800":1}', "surrogate"),
        (b'{"a":"\n"}', "not JSON"),
        (b'{"a":1,"a":1}', "twice"),
        (b'{"a":1,"\\u0061":2}', "twice"),
        (b'{"x":{"a":1,"a":2}}', "twice"),
        (b'{"a":NaN}', "number"),
        (b'{"a":Infinity}', "number"),
        (b'{"a":-Infinity}', "number"),
        (b'{"a":1e400}', "too large"),
        (b'{"a":01}', "not JSON"),
        (b'{"a":' + b"9" * 100_000 + b"}", "too long"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeply"),
        (b'{"a":' * 100_000, "deeply|not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'{"a":1}\x00', "not JSON"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: bytes, why: str) -> None:
    """Whatever two parsers could take for two things raises ValueError with its reason."""
    with pytest.raises(ValueError, match=why):
        load_object(text)
