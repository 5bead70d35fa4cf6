"""The pattern matcher against one that is slow and obvious."""

from hypothesis import given
from hypothesis import strategies as st

from wsauth.core.permissions import Permissions

segments = st.sampled_from(["a", "b", "chat"])
names = st.lists(segments, min_size=1, max_size=8)
patterns = st.lists(segments | st.sampled_from(["*", "**"]), min_size=1, max_size=8)


def matches(pattern: list[str], name: list[str]) -> bool:
    """Try everything."""
    if not pattern:
        return not name
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(matches(rest, name[taken:]) for taken in range(len(name) + 1))
    return bool(name) and first in ("*", name[0]) and matches(rest, name[1:])


@given(patterns, names)
def test_one_pattern_answers_as_the_slow_reference(pattern: list[str], name: list[str]) -> None:
    """Every pattern says yes to exactly the names that trying everything finds."""
    assert Permissions((), [":".join(pattern)]).allow(":".join(name)) == matches(pattern, name)


@given(st.lists(patterns, max_size=4), st.lists(names, max_size=4), names)
def test_many_patterns_and_names_answer_as_any_of_them(
    held: list[list[str]], exact: list[list[str]], name: list[str]
) -> None:
    """Permissions are the union of their names and patterns, and nothing more."""
    permissions = Permissions((":".join(entry) for entry in exact), [":".join(pattern) for pattern in held])
    assert permissions.allow(":".join(name)) == (name in exact or any(matches(pattern, name) for pattern in held))


@given(st.lists(patterns, max_size=4), names)
def test_no_pattern_reaches_what_is_reserved(held: list[list[str]], name: list[str]) -> None:
    """Whatever the patterns, a name below `wsauth:` is not theirs."""
    assert not Permissions((), [":".join(pattern) for pattern in held]).allow(":".join(["wsauth", *name]))


def test_a_pattern_made_to_be_slow_is_not() -> None:
    """Many `**` against a long name that almost matches take steps in proportion to both, not a power of them."""
    assert not Permissions((), [":".join(["**", "a"] * 100 + ["b"])]).allow(":".join(["a"] * 500))
