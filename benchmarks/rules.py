"""What judging one message costs, beside a check by hand with pydantic: `python -m benchmarks.rules`."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wsauth.core.identity import Identity
from wsauth.core.permissions import Roles
from wsauth.guard.rules import rules_of

_RULES = Path(__file__).parent.parent / "tests" / "vectors" / "messages" / "chat.toml"
_ROUNDS = 20_000
_MESSAGE = json.dumps({"type": "say", "room": "lobby", "text": "hello, world " * 8, "from": "alice"})


class Say(BaseModel):
    """Be the message, as somebody would check it by hand."""

    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["say"]
    room: str = Field(pattern=r"^[a-z0-9-]{1,20}$")
    text: str = Field(min_length=1, max_length=200)
    sender: str = Field(alias="from")


def main() -> None:
    """Measure and print."""
    rules = rules_of(_RULES)
    assert rules is not None  # noqa: S101  the file names rules
    alice = Identity("alice", issuer="i", roles=["member"])
    permissions = Roles({"member": ["chat:*:send"]}).resolve(alice)

    def by_hand() -> object:
        said = Say.model_validate_json(_MESSAGE)
        return said.sender == alice.subject and permissions.allow(f"chat:{said.room}:send")

    for name, work in (
        ("rules", lambda: rules.judge(_MESSAGE, alice, permissions, 0.0, {})),
        ("pydantic by hand", by_hand),
        ("json.loads alone", lambda: json.loads(_MESSAGE)),
    ):
        print(f"{name}: {_microseconds(work):.1f} µs")


def _microseconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(_ROUNDS):
            work()
        best = min(best, time.perf_counter() - began)
    return best / _ROUNDS * 1e6


if __name__ == "__main__":
    main()
