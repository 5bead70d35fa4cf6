"""Cookies that are credentials."""

import pytest

from wsauth.core.cookies import cut_cookies


@pytest.mark.parametrize(
    ("header", "taken", "kept"),
    [
        ("session=t", [("session", "t")], ""),
        ("a=1; session=t; b=2", [("session", "t")], "a=1; b=2"),
        ("a=1;session=t;b=2", [("session", "t")], "a=1; b=2"),
        ("session=a=b==", [("session", "a=b==")], ""),
        ('session="t"', [("session", '"t"')], ""),
        ("session=t; session=u", [("session", "t"), ("session", "u")], ""),
        ("session=", [("session", "")], ""),
        ("session", [], "session"),
        ("Session=t", [], "Session=t"),
        ("session =t", [], "session =t"),
        ("xsession=t; sessions=u", [], "xsession=t; sessions=u"),
        ("other=session=t", [], "other=session=t"),
        ("", [], ""),
        ("; ;a=1;", [], "a=1"),
    ],
)
def test_cookies_are_cut_by_exact_name(header: str, taken: list[tuple[str, str]], kept: str) -> None:
    """A look-alike is another cookie, and the rest stays in order."""
    assert cut_cookies(header, {"session"}) == (taken, kept)
