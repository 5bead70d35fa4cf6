"""tests.leaks: the search that ends every run finds what it is for."""

import pytest

from tests.attacks.cast import token
from tests.leaks import Written, leaks


@pytest.mark.parametrize("cut", [0, 40], ids=["whole", "cut off"])
def test_a_token_is_found_without_being_registered(cut: int) -> None:
    """A compact JWS of anybody's is found in the middle of a line, and the process is named."""
    written = Written("a server", f"GET /ws?x={token()[: -cut or None]} 101")
    assert leaks([Written("another", "GET /ws 101"), written], {}) == ["a server wrote a token after 'GET /ws?x='"]


def test_a_registered_secret_is_found() -> None:
    """A secret that was registered is found wherever it stands, and its slot is named."""
    found = leaks([Written("a server", "before: s3cret\n")], {"s3cret": "Alice's password", "other": "Bob's"})
    assert found == ["a server wrote Alice's password after 'before: '"]


def test_what_is_no_secret_is_not_found() -> None:
    """Host names, versions, redacted places and members of a header alone are nobody's secret."""
    harmless = "uvicorn.protocols.websockets eyJhbGciOiJIUzI1NiJ9 token=<redacted> wsauth.bearer.<redacted> 1.2.3"
    assert leaks([Written("a server", harmless)], {"s3cret": "a password"}) == []
