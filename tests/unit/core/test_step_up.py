"""Whether a login is recent and strong enough."""

import pytest

from wsauth.core.identity import Identity
from wsauth.core.step_up import check_login
from wsauth.errors import PermissionDenied, StepUpRequired

NOW = 1_800_000_000.0


def identity(auth_time: float | None, acr: object = None) -> Identity:
    """Return somebody who logged in then."""
    return Identity("alice", issuer="i", auth_time=auth_time, claims={} if acr is None else {"acr": acr})


@pytest.mark.parametrize(
    ("auth_time", "good"), [(None, False), (NOW - 60, True), (NOW - 60.5, False), (NOW, True), (NOW + 5, True)]
)
def test_a_login_has_to_be_recent(auth_time: float | None, good: bool) -> None:
    """To the second; a login of an unknown time is one of long ago."""
    if good:
        check_login(identity(auth_time), NOW, max_age=60)
    else:
        with pytest.raises(StepUpRequired) as no:
            check_login(identity(auth_time), NOW, max_age=60)
        assert (no.value.code, no.value.needed) == ("step_up_required", "max_age=60")
    check_login(identity(auth_time), NOW)


def test_strengths_are_a_list() -> None:
    """In one text every part of it would be found."""
    with pytest.raises(TypeError, match="write acr="):
        check_login(identity(NOW, "1"), NOW, acr="12")


@pytest.mark.parametrize(("acr", "good"), [(None, False), ("1", False), ("2", True), (2, False), (["2"], False)])
def test_a_login_has_to_be_strong(acr: object, good: bool) -> None:
    """One of the named strengths, as a text; anything else is none."""
    if good:
        check_login(identity(NOW, acr), NOW, acr=("2", "3"))
    else:
        with pytest.raises(PermissionDenied, match="acr_values=2 3"):
            check_login(identity(NOW, acr), NOW, acr=("2", "3"))
