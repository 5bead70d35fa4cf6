"""One connection's life as a plain record, and the slow, obvious book-keeping that the machine is compared with.

`Life` is the host and the world around one machine: its clock, its client, its verifier. It notes every event as a
`Step`, and keeps what a reader of the protocol would expect next: which messages wait, which question is open, how
many attempts are left, whether a side is paused.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

from tests.unit.core.protocol.driving import NOW, ROLES, Driven, delivered, of, person, sent
from wsauth.core.handshake import Handshake
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.lease import Lease, is_older, is_weaker
from wsauth.core.permissions import Roles
from wsauth.core.protocol import commands
from wsauth.core.protocol.commands import Command, Message
from wsauth.core.protocol.held import size
from wsauth.core.protocol.states import State
from wsauth.errors import Refused

LIVE = (State.OPEN, State.STALE)
GRANTED = (State.CONNECTING, *LIVE)
OVER = (State.CLOSING, State.CLOSED)
HELD_LIMIT = 16 * 1024
ALL_ROLES = Roles(ROLES)


@dataclass(frozen=True)
class Said:
    """Be one message of the client: what it is meant as, and the credential in it."""

    content: Message
    meant: Literal["application", "auth", "plain", "junk"] = "application"
    kind: str = ""
    secret: str = ""

    def is_for_us(self) -> bool:
        """Tell whether a client that speaks wsauth means us."""
        return self.meant in ("auth", "junk")


@dataclass(frozen=True)
class Step:
    """Be one event: when, what was there before and after, and what was ordered."""

    event: str
    now: float
    before: State
    after: State
    lease_before: Lease | None
    lease: Lease | None
    ordered: list[Command]
    expected: list[Message]
    """Messages that must be delivered in this step, in order."""
    said: Said | None = None
    outcome: Identity | Refused | None = None
    unanswered: bool = False
    """Whether a renewal was being verified, or waited for that, when the event came."""
    newest: str = ""
    """The secret of the `auth` message that came last before the event."""
    verdict: str = ""
    """What a good credential must lead to: `replaced`, `unchanged`, `refused`, `closed` or `lost`."""
    lost: bool = False
    """Whether rights went of which what is behind had been told."""


@dataclass
class Question:
    """Be a verification that nobody has answered yet."""

    number: int
    kind: str
    secret: str
    asked_at: float


@dataclass
class Life:
    """Hold one connection and what is expected of it."""

    asked: Handshake
    readable: bool
    driven: Driven = field(init=False)
    steps: list[Step] = field(default_factory=list)
    fresh: list[Step] = field(default_factory=list)
    question: Question | None = None
    presented: list[Said] = field(default_factory=list)
    waiting: list[Said] = field(default_factory=list)
    paused: dict[str, bool] = field(default_factory=lambda: {"client": False, "upstream": False})
    good: list[Identity] = field(default_factory=list)
    promised: float = 0.0
    """The end that the newest good credential, and extensions since, give the lease, by CONTRACT section 6."""
    extended_to: float = -inf
    """The latest end that the session of the newest good credential was given elsewhere."""
    attempts: int = 0
    heard: int = 0
    stirred_at: float = 0.0
    later: bool = False
    """Whether a renewal waits to be verified."""
    overlapped: bool = False
    """Whether a question was ever asked before the last was settled."""
    lease_secret: tuple[str, str] = ("", "")
    told: Identity | None = None
    """Whom what is behind was told of, with the rights of that moment; `None` for nobody."""

    def __post_init__(self) -> None:
        self.driven = Driven(self.asked, readable=self.readable)
        self.policy = self.asked.policy
        self.attempts = self.policy.auth_attempts
        self.offered = self.asked.speaks

    @property
    def machine(self) -> Any:
        """Return the machine, for what it shows to everybody."""
        return self.driven.machine

    @property
    def now(self) -> float:
        """Return the time."""
        return self.driven.now

    def do(self, event: str, run: Callable[[], list[Command]], **known: Any) -> None:
        """Let one event happen, and note what came of it."""
        machine = self.driven.machine
        before, lease_before = machine.state, machine.lease
        unanswered = self._is_unanswered() or event == "answered"
        newest = next((said.secret for said in reversed(self.presented) if said.meant == "auth"), "")
        ordered = run()
        expected = self._follow(event, before, machine.state, known, ordered)
        lease = machine.lease
        step = Step(
            event,
            self.now,
            before,
            machine.state,
            lease_before,
            lease,
            ordered,
            expected,
            unanswered=unanswered,
            newest=newest,
            **known,
        )
        self._note_orders(ordered)
        self.steps.append(step)
        self.fresh.append(step)

    def start(self, known: Identity | Refused | None) -> None:
        """Begin, perhaps with a verdict on the handshake's credentials that is known without asking."""
        credentials = self.asked.credentials
        if credentials is None:
            self.do("started", self.driven.start)
            return
        verdict = self._settle(known, Question(0, credentials.kind, credentials.secret, self.now))
        self.do("started", lambda: self.driven.start(known), outcome=known, verdict=verdict)

    def introduce(self) -> None:
        """Let what is behind be told of the lease as it is now."""
        lease = self.machine.introduce()
        self.told = None if lease.identity is NOBODY else lease.identity

    # The client.

    def say(self, said: Said) -> None:
        """Let the client send one message."""
        self.do("received", lambda: self.driven.say(said.content), said=said)

    # The verifier.

    def answer(self, outcome: Identity | Refused) -> None:
        """Answer the open question."""
        question = self.question
        assert question is not None
        self.question = None
        verdict = self._settle(outcome, question)
        self.do(
            "answered",
            lambda: self.driven.answer(outcome, question.number),
            outcome=outcome,
            verdict=verdict,
            lost=verdict == "lost",
        )

    def _settle(self, outcome: Identity | Refused | None, question: Question) -> str:
        if not isinstance(outcome, Identity):
            return ""
        verdict = self._judge(outcome, question)
        if verdict in ("replaced", "lost"):
            if self.machine.lease is None:
                self.told = outcome
            self.good.append(outcome)
            self.promised = self._promise(outcome, question.kind)
            self.extended_to = -inf
        return verdict

    def _judge(self, identity: Identity, question: Question) -> str:
        """Say what must come of a good credential, in the order of PROTOCOL.md section 7.2."""
        lease = self.machine.lease
        if lease is not None and lease.identity is not NOBODY:
            old = lease.identity
            if identity.key != old.key or is_weaker(identity, old):
                return "refused"
            again = question.kind != "password" and (question.kind, question.secret) == self.lease_secret
            if again or is_older(identity, old):
                return "unchanged" if self.machine.state is State.OPEN else "refused"
        if any(not ALL_ROLES.resolve(identity).allow(name) for name in self.policy.require):
            return "closed"
        if self._promise(identity, question.kind) <= self.now:
            return "refused"
        self.lease_secret = (question.kind, question.secret)
        return "lost" if self.loses(identity) else "replaced"

    def loses(self, identity: Identity) -> bool:
        """Tell whether what is behind was told of rights that this identity does not have, and cannot be told so."""
        told = self.told
        if told is None or self.policy.on_rights_change == "keep" or self.machine.state not in GRANTED:
            return False
        had, has = ({*ALL_ROLES.resolve(one).names, *one.roles} for one in (told, identity))
        return not had <= has

    def _promise(self, identity: Identity, kind: str) -> float:
        own = inf if identity.expires_at is None else identity.expires_at
        if kind != "token":
            own = min(own, self.now + self.policy.access_ttl)
        return min(own, NOW + self.policy.max_connection_age)

    # From elsewhere.

    def extend(self, ends_at: float) -> None:
        """Let the lease's session be refreshed until then."""
        bounded = min(ends_at, NOW + self.policy.max_connection_age)
        if self.machine.state in GRANTED and bounded > max(self.promised, self.now):
            self.promised = self.extended_to = bounded
        self.do("extended", lambda: self.driven.extend(ends_at))

    def change_rights(self, roles: tuple[str, ...]) -> None:
        """Let an administrator give the connection's identity these roles."""
        lease = self.machine.lease
        changed = person(roles=roles) if lease is None else lease.identity.replace(roles=roles)
        lost = self.loses(changed)
        if self.machine.state in GRANTED:
            self.good[-1] = changed
        self.do("rights changed", lambda: self.driven.change_rights(changed), outcome=changed, lost=lost)

    # The clock.

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake the machine exactly when it asked for it."""
        driven = self.driven
        target = driven.now + seconds
        for _ in range(100):
            if driven.wake_at > target:
                break
            driven.now = max(driven.now, driven.wake_at)
            self.do("woken", lambda: driven.wake(driven.now))
        else:
            raise AssertionError("the machine asks to be woken again and again for nothing")
        driven.now = target

    # Book-keeping.

    def _is_unanswered(self) -> bool:
        question = self.question
        if question is not None and self.now >= question.asked_at + self.policy.auth_timeout:
            self.question = None
        return self.question is not None or self.later

    def _follow(
        self, event: str, before: State, after: State, known: dict[str, Any], ordered: list[Command]
    ) -> list[Message]:
        """Return what must be delivered now, and note what waits from now on."""
        said: Said | None = known.get("said")
        if said is not None:
            self._queue(said, before)
        if before is State.PENDING and after is State.PENDING and event == "answered":
            self._consume()
        if after is State.OPEN:
            if said is not None or event == "connected" or before is State.STALE:
                self.stirred_at = self.now
            return self._release()
        if after in OVER:
            released = self._release() if before is not State.PENDING else []
            self.waiting.clear()
            return [message for message in released if message in delivered(ordered)]
        return []

    def _queue(self, said: Said, before: State) -> None:
        if before is State.PENDING and self.question is None and not self.waiting:
            self.heard += 1
            self.presented.append(said)
        elif before in (State.PENDING, State.CONNECTING):
            self.waiting.append(said)
        elif before in LIVE and said.is_for_us() and self.machine.speaks:
            self._present(said)
        elif before in LIVE:
            self.waiting.append(said)

    def _consume(self) -> None:
        """Take up what waited behind a wrong credential, up to the next one."""
        while self.waiting:
            said = self.waiting.pop(0)
            self.heard += 1
            self.presented.append(said)
            if said.meant == "auth":
                return

    def _release(self) -> list[Message]:
        """Take everything that waited as delivered, but for what is ours and what is too large."""
        expected: list[Message] = []
        for said in self.waiting:
            if size(said.content) > self.policy.max_message:
                break
            if said.is_for_us() and self.machine.speaks:
                self._present(said)
            else:
                expected.append(said.content)
        self.waiting.clear()
        return expected

    def _present(self, said: Said) -> None:
        self.presented.append(said)
        self.later = self.later or said.meant == "auth"

    def _note_orders(self, ordered: list[Command]) -> None:
        for command in ordered:
            if isinstance(command, commands.Verify):
                asked = command.credentials
                self.overlapped = self.overlapped or self.question is not None
                self.later = False
                self.question = Question(command.number, asked.kind, asked.secret, self.now)
            elif isinstance(command, commands.Pause):
                self.paused[command.side] = command.paused
        if self.machine.state in OVER:
            self.question = None
            self.later = False

    def held_bytes(self) -> int:
        """Return the bytes of the messages that wait."""
        return sum(size(said.content) for said in self.waiting)

    def ending(self) -> tuple[Step, commands.Close | commands.Refuse] | None:
        """Return the step that ended the connection, and how."""
        for step in self.steps:
            for command in step.ordered:
                if isinstance(command, commands.Close | commands.Refuse):
                    return step, command
        return None

    def successes(self) -> list[float]:
        """Return when each renewal succeeded."""
        return [
            step.now
            for step in self.steps
            if step.event == "answered" and step.before in LIVE
            for message in sent(step.ordered)
            if message["type"] == "auth_success"
        ]


def auth(**members: Any) -> str:
    """Write an `auth` message."""
    return json.dumps({"type": "auth", **members})


__all__ = [
    "ALL_ROLES",
    "GRANTED",
    "HELD_LIMIT",
    "LIVE",
    "OVER",
    "Life",
    "Question",
    "Said",
    "Step",
    "auth",
    "delivered",
    "of",
    "sent",
]
