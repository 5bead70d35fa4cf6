"""An engine of somebody's own decides: only its yes is one."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from wsauth import Guard
from wsauth.core.identity import Identity
from wsauth.core.permissions import Permissions
from wsauth.errors import ConfigurationError, PermissionDenied
from wsauth.services import authorizing
from wsauth.services.authorizing import check_allowed

ALICE = Identity("alice", issuer="i")
HELD = Permissions(["chat:send"])


class Engine:
    """Answer what the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    async def authorize(self, *asked: Any) -> Any:
        """Answer, raise or hang."""
        self.asked.append(asked)
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer == "hang":
            await asyncio.Event().wait()
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [False, None, 1, "yes", [], SimpleNamespace(allowed=True), RuntimeError("down"), PermissionDenied("x"), "hang"],
)
async def test_az_13_anything_but_true_is_a_no(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """AZ-13: also where the roles would say yes."""
    monkeypatch.setattr(authorizing, "_TIME_LIMIT", 0.05)
    with pytest.raises(PermissionDenied) as no:
        await check_allowed(Engine(answer), ALICE, HELD, "chat:send")
    assert no.value.permission == "chat:send"


async def test_its_yes_is_enough() -> None:
    """It is asked with who it is, what they hold, and for what."""
    engine = Engine(True)
    await check_allowed(engine, ALICE, Permissions([]), "anything:at:all")
    assert engine.asked == [(ALICE, Permissions([]), "anything:at:all")]


async def test_without_one_the_roles_decide() -> None:
    """As `require` does."""
    await check_allowed(None, ALICE, HELD, "chat:send")
    with pytest.raises(PermissionDenied):
        await check_allowed(None, ALICE, HELD, "chat:mute")


def test_what_cannot_be_asked_is_named_at_start() -> None:
    """A function, a class, and an object that answers at once."""
    for wrong in (lambda *_: True, Engine, SimpleNamespace(authorize=lambda *_: True)):
        with pytest.raises(ConfigurationError, match="async def authorize"):
            Guard(verifiers=[], origins=[], authorizer=wrong)  # type: ignore[arg-type]  # that is what is tested
