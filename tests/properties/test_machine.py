"""Arbitrary lives of one connection: whatever happens in whatever order, the invariants of the machine hold.

The numbers in the names are those of docs/topics/machine.md. Of 2, 8, 9 and 10 only the machine's part is seen here:
registering, the feed and the clock belong to services.
"""

import json
import re
from itertools import pairwise
from math import inf
from typing import Any

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.properties.machine_model import (
    ALL_ROLES,
    HELD_LIMIT,
    LIVE,
    OVER,
    Life,
    Said,
    auth,
    delivered,
    of,
    sent,
)
from tests.unit.core.protocol.driving import BEARER, NOW, ORIGIN, handshake, person, policy
from wsauth.core import events
from wsauth.core.handshake import Handshake
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.lease import is_older, is_weaker
from wsauth.core.protocol import commands
from wsauth.core.protocol.states import State
from wsauth.core.routes import Policy
from wsauth.errors import Refused

SECRET = "SECRET"
REASON = re.compile(r"[a-z_]+;id=id[0-9]{10}(;retry_after=[0-9]+)?|draining;retry_after=[0-9]+")
ASSURANCE: list[dict[str, Any]] = [{}, {"acr": "1"}, {"acr": "2", "amr": ["mfa"]}, {"cnf": {"jkt": "key"}}]
CODES = ["token_invalid", "token_expired", "token_revoked", "credentials_invalid", "ticket_invalid"]

policies = st.fixed_dictionaries(
    {
        "sources": st.sampled_from(
            [
                frozenset({"header", "subprotocol", "ticket", "message"}),
                frozenset({"header", "subprotocol", "message", "basic"}),
                frozenset({"header", "subprotocol"}),
            ]
        ),
        "anonymous": st.booleans(),
        "grace": st.sampled_from([0.0, 10.0]),
        "auth_timeout": st.sampled_from([5.0, 10.0]),
        "auth_attempts": st.sampled_from([1, 2, 3]),
        "max_connection_age": st.sampled_from([25.0, 86_400.0]),
        "idle_timeout": st.sampled_from([inf, inf, 15.0]),
        "require": st.sampled_from([(), (), ("chat:lobby:send",)]),
        "refusals": st.sampled_from(["auto", "http", "close"]),
    }
)
asks = st.sampled_from(["header", "header", "page", "page", "in-band", "in-band page", "two", "foreign page"])
lengths = st.sampled_from([1.0, 6.0, 20.0, 60.0, 300.0, 90_000.0, None])
waits = st.sampled_from([0.0, 0.5, 0.5, 1.0, 1.0, 4.0, 5.0, 9.75, 10.0, 30.0])
secrets = st.sampled_from([f"{SECRET}-{n}" for n in range(4)])


def asked_for(how: str, rules: Policy, speaks: bool) -> Handshake:
    """Return one way to ask for the connection."""
    offers = ["wsauth.v1"] if speaks else []
    if how == "page":
        return handshake(rules, ORIGIN, offers=["wsauth.v1", "chat", f"wsauth.bearer.{SECRET}.x.y"])
    headers = {
        "header": [(b"authorization", f"Bearer {SECRET}-0".encode())],
        "two": [BEARER],
        "in-band page": [ORIGIN],
        "foreign page": [BEARER, (b"origin", b"https://evil.example")],
    }
    query = b"ticket=" + SECRET.encode() if how == "two" else b""
    return handshake(rules, *headers.get(how, []), query=query, offers=offers)


class OneConnection(RuleBasedStateMachine):
    """Live one connection with a punctual host."""

    life: Life
    serial = 0
    patience = 0

    @initialize(
        rules=policies,
        how=asks,
        speaks=st.sampled_from([True, True, False]),
        readable=st.booleans(),
        lasts=st.sampled_from([0.0, 1.0, 6.0, 6.0, 20.0, 60.0, 300.0]),
        patience=st.sampled_from([3, 20, 40, 60]),
    )
    def begin(self, rules: dict[str, Any], how: str, speaks: bool, readable: bool, lasts: float, patience: int) -> None:
        """Come with some handshake to some route, and mostly be let in at once, for so many seconds."""
        self.life = Life(asked_for(how, policy(**rules), speaks), readable)
        self.patience = patience
        note(f"{how} speaks={speaks} readable={readable} lasts={lasts} {rules}")
        self.life.do("started", self.life.driven.start)
        if lasts and self.life.machine.state is State.PENDING:
            self.life.say(Said(auth(token=f"{SECRET}-0"), "auth", "token", f"{SECRET}-0"))
        if lasts and self.life.question is not None:
            self.life.answer(person(ends=NOW + lasts))
        if lasts and self.life.machine.state is State.CONNECTING:
            self.life.do("connected", lambda: self.life.driven.connect(None))

    def _begun(self) -> Life:
        self.life.fresh = []
        return self.life

    def _goes_on(self) -> bool:
        """Tell whether there is still something to find out: a closed connection is boring after a while."""
        steps = self.life.steps
        return self.life.machine.state is not State.CLOSED and not (len(steps) > 3 and steps[-3].before in OVER)

    def _can_speak(self) -> bool:
        return self.life.machine.accepted and not self.life.paused["client"] and self._goes_on()

    def _is_late(self) -> bool:
        return len(self.life.steps) > self.patience

    # What may happen.

    @precondition(lambda self: self.life.question is not None)
    @rule(
        subject=st.sampled_from(["alice", "alice", "alice", "bob"]),
        roles=st.sampled_from([("member",), ("member",), ("guest",)]),
        lasts=lengths,
        age=st.sampled_from([0, 0, 0, 5, 100]),
        assurance=st.sampled_from(ASSURANCE[:1] * 3 + ASSURANCE),
    )
    def verify(
        self, subject: str, roles: tuple[str, ...], lasts: float | None, age: int, assurance: dict[str, Any]
    ) -> None:
        """Find the credential good: somebody's, for some time, made now or earlier, proving more or less."""
        life = self._begun()
        ends = None if lasts is None else life.now + lasts
        iat = int(life.now) - age
        life.answer(person(subject, ends=ends, iat=iat, roles=roles, claims=assurance))

    @precondition(lambda self: self.life.question is not None)
    @rule(code=st.sampled_from([*CODES, "unavailable", "rate_limited"]))
    def disprove(self, code: str) -> None:
        """Find the credential bad, or find nothing out."""
        self._begun().answer(Refused(code, "as the verifier said"))

    @precondition(_goes_on)
    @rule(back=st.integers(0, 3), good=st.booleans())
    def answer_too_late(self, back: int, good: bool) -> None:
        """Answer a question that nobody asks any more."""
        life = self._begun()
        newest = (
            life.question.number - 1
            if life.question
            else max((verify.number for step in life.steps for verify in of(step.ordered, commands.Verify)), default=0)
        )
        outcome = person() if good else Refused("token_invalid")
        if newest - back > 0:
            life.do("answered late", lambda: life.driven.answer(outcome, newest - back))

    @precondition(lambda self: self.life.machine.state is State.CONNECTING)
    @rule(choice=st.sampled_from([None, "chat", "unknown"]))
    def connect(self, choice: str | None) -> None:
        """Let the application accept."""
        life = self._begun()
        life.do("connected", lambda: life.driven.connect(choice))

    @precondition(_can_speak)
    @rule(length=st.sampled_from([20, 20, 20, 9_000, 9_000, 70_000]), binary=st.booleans())
    def speak(self, length: int, binary: bool) -> None:
        """Send a message of the application's, text or binary, short or too long."""
        life = self._begun()
        self.serial += 1
        text = f'{{"type":"chat","n":{self.serial},"text":"auth"}}'.ljust(length, " ")
        life.say(Said(text.encode() if binary else text))

    @precondition(_can_speak)
    @rule(secret=secrets, kind=st.sampled_from(["token", "token", "ticket", "password"]))
    def present(self, secret: str, kind: str) -> None:
        """Send an `auth` message."""
        life = self._begun()
        source = {"ticket": "ticket", "password": "basic"}.get(kind)
        taken = source is None or source in life.policy.sources
        members = {"username": "alice", "password": secret} if kind == "password" else {kind: secret}
        life.say(Said(auth(**members), "auth" if taken else "junk", kind, secret))

    @precondition(_can_speak)
    @rule(secret=secrets, form=st.sampled_from(["plain", "two", "number"]))
    def present_oddly(self, secret: str, form: str) -> None:
        """Send the plain-text form, or an `auth` message that is malformed."""
        life = self._begun()
        if form == "plain":
            life.say(Said(f"Authorization: Bearer {secret}", "plain", "token", secret))
        else:
            members: dict[str, Any] = {"token": secret, "ticket": secret} if form == "two" else {"token": 1}
            life.say(Said(auth(**members), "junk"))

    @precondition(_can_speak)
    @precondition(lambda self: self.life.machine.state in (*LIVE, State.PENDING))
    @rule(
        secret=secrets,
        takes=st.sampled_from([0.0, 0.0, 0.5, 4.0, 6.0]),
        lasts=st.sampled_from([6.0, 20.0, 20.0, 300.0]),
        age=st.sampled_from([0, 0, 0, 10]),
        pipelined=st.booleans(),
    )
    def renew(self, secret: str, takes: float, lasts: float, age: int, pipelined: bool) -> None:
        """Send a token, mostly a good and newer one, and have it verified in this time; perhaps talk meanwhile."""
        self.present(secret, "token")
        life = self.life
        if pipelined:
            self.serial += 1
            life.say(Said(f"behind {self.serial}"))
        life.advance(takes)
        if life.question is not None:
            life.answer(person(ends=life.now + lasts, iat=int(life.now) - age))

    @rule(seconds=waits)
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._begun().advance(seconds)

    @precondition(lambda self: self.life.driven.wake_at < inf and self.life.machine.state is not State.CLOSED)
    @rule(early=st.sampled_from([0.0, 0.25, 4.0]))
    def wait_for_the_next_thing(self, early: float) -> None:
        """Let time pass until exactly the next deadline, or until a little before."""
        life = self._begun()
        life.advance(max(0.0, life.driven.wake_at - life.now - early))

    @precondition(_goes_on)
    @rule()
    def wake_too_early(self) -> None:
        """Wake the machine although it is not time yet."""
        life = self._begun()
        if life.driven.wake_at > life.now:
            life.do("woken early", lambda: life.driven.wake(life.now))

    @precondition(_is_late)
    @precondition(lambda self: self.life.machine.state not in OVER)
    @rule(code=st.sampled_from(["session_revoked", "disconnected", "permission_denied"]), again=st.booleans())
    def end(self, code: str, again: bool) -> None:
        """Revoke or disconnect."""
        life = self._begun()
        retry_after = 60.5 if again and code == "disconnected" else None
        life.do("ended", lambda: life.driven.end(code, retry_after=retry_after))

    @precondition(_is_late)
    @precondition(_goes_on)
    @precondition(lambda self: self.life.machine.accepted)
    @rule(code=st.sampled_from([1000, 4001]))
    def leave(self, code: int) -> None:
        """Let the application close."""
        life = self._begun()
        life.do("left", lambda: life.driven.leave(code))

    @precondition(_is_late)
    @precondition(lambda self: self.life.machine.state is not State.CLOSED)
    @rule()
    def vanish(self) -> None:
        """Let the transport be gone."""
        life = self._begun()
        life.do("gone", life.driven.gone)

    @precondition(lambda self: self.life.machine.state in LIVE)
    @rule(code=st.sampled_from(["message_invalid", "permission_denied"]), times=st.sampled_from([1, 1, 1, 11]))
    def refuse_message(self, code: str, times: int) -> None:
        """Let the application refuse what it was given."""
        life = self._begun()
        for _ in range(times):
            life.do("refused", lambda: life.driven.refuse(code))

    @precondition(_goes_on)
    @rule()
    def stir(self) -> None:
        """Let the application send something."""
        life = self._begun()
        life.machine.stirred(life.now)
        life.stirred_at = life.now

    # What must hold.

    @invariant()
    def invariant_1_nothing_passes_without_a_living_lease(self) -> None:
        """A message passes only while the lease lives; a stale connection holds both sides and little else."""
        life = self.life
        for step in life.fresh:
            if delivered(step.ordered):
                assert step.lease is not None
                assert step.now < step.lease.ends_at
        if life.machine.passing:
            assert life.now < life.machine.lease.ends_at
        if life.machine.state is State.STALE:
            assert life.paused["upstream"]
            assert life.machine.speaks or life.paused["client"]
        if life.machine.state not in OVER and life.held_bytes() > HELD_LIMIT:
            assert life.paused["client"]

    @invariant()
    def invariant_2_a_lease_begins_in_the_step_that_answers(self) -> None:
        """The host can look at revocations right before the answer, since nothing opens in any other step."""
        for step in self.life.fresh:
            if of(step.ordered, commands.Connect):
                nobody = step.event == "started" and step.lease is not None and step.lease.identity is NOBODY
                assert nobody or (step.event == "answered" and isinstance(step.outcome, Identity))

    @invariant()
    def invariant_3_identity_end_and_rights_come_from_one_credential(self) -> None:
        """A lease is what the newest good credential says, all of it; older and weaker ones change nothing."""
        life = self.life
        lease = life.machine.lease
        if lease is not None and lease.identity is not NOBODY:
            assert lease.identity is life.good[-1]
            assert lease.ends_at == life.promised
            assert lease.permissions == ALL_ROLES.resolve(lease.identity)
        for step in life.fresh:
            old, new = step.lease_before, step.lease
            if old is not None and new is not None and old is not new and old.identity is not NOBODY:
                assert new.identity.key == old.identity.key
                assert not is_older(new.identity, old.identity)
                assert not is_weaker(new.identity, old.identity)

    @invariant()
    def invariant_4_the_end_is_within_every_bound(self) -> None:
        """No lease ends after its credential, nor after `max_connection_age`, nor ever before it began."""
        lease = self.life.machine.lease
        if lease is not None:
            assert lease.granted_at < lease.ends_at <= NOW + self.life.policy.max_connection_age
            if lease.identity.expires_at is not None:
                assert lease.ends_at <= lease.identity.expires_at

    @invariant()
    def invariant_5_a_late_renewal_holds_for_auth_timeout_at_most(self) -> None:
        """What was asked before the end and is unanswered keeps the connection, but not for long."""
        life = self.life
        rules = life.policy
        for step in life.fresh:
            ended = step.before is State.OPEN and any(of_event(step.ordered, events.Expired))
            if ended and step.lease is not None and rules.grace == 0:
                young = step.lease.ends_at < NOW + rules.max_connection_age
                assert (step.after is State.STALE) == (young and step.unanswered)
        if life.machine.state is State.STALE:
            lease = life.machine.lease
            assert life.now < lease.ends_at + max(rules.grace, rules.auth_timeout)
            assert life.now < max(lease.ends_at, NOW + rules.max_connection_age)

    @invariant()
    def invariant_6_one_renewal_in_flight_and_one_success_in_ten_seconds(self) -> None:
        """A question is asked after the one before is settled, and of those that wait it is the newest."""
        life = self.life
        for step in life.fresh:
            asked = of(step.ordered, commands.Verify)
            assert len(asked) <= 1
            if asked and step.before in LIVE and step.event in ("woken", "answered"):
                newest = [said for said in life.presented if said.meant == "auth"][-1]
                assert asked[0].credentials.secret == newest.secret
            if asked and step.said is not None:
                assert asked[0].credentials.secret == step.said.secret
        assert all(later - earlier >= 10 for earlier, later in pairwise(life.successes()))

    @invariant()
    def invariant_6_a_question_is_not_asked_before_the_last_is_settled(self) -> None:
        """Numbers grow by one, and each question is answered, given up or dropped before the next."""
        asked = [verify.number for step in self.life.steps for verify in of(step.ordered, commands.Verify)]
        assert asked == list(range(1, len(asked) + 1))
        assert not self.life.overlapped

    @invariant()
    def invariant_7_closing_delivers_nothing_and_cuts_in_time(self) -> None:
        """After Close or Refuse nothing passes, opens or is said, and the transport is cut within its time."""
        life = self.life
        ending = life.ending()
        if ending is None:
            return
        step, order = ending
        silent = (commands.Deliver, commands.Accept, commands.Connect, commands.Send, commands.Verify)
        rest = step.ordered[step.ordered.index(order) + 1 :]
        after = [command for later in life.steps[life.steps.index(step) + 1 :] for command in later.ordered]
        assert not [command for command in [*rest, *after] if isinstance(command, silent)]
        timeout = 2.0 if step.before is State.HANDSHAKING else 5.0
        if life.machine.state is State.CLOSING and not of(after, commands.Abort):
            assert life.now < step.now + timeout
            assert life.driven.wake_at <= step.now + timeout
        assert len(of(after, commands.Abort)) <= 1
        assert len(of([*rest, *after], type(order))) == 0

    @invariant()
    def invariant_8_nothing_passes_in_the_step_that_revokes(self) -> None:
        """A revocation acts at once, whatever waits."""
        for step in self.life.fresh:
            if step.event == "ended":
                assert step.after in OVER
                assert not delivered(step.ordered)

    @invariant()
    def invariant_9_what_could_not_be_judged_grants_nothing(self) -> None:
        """A no, `unavailable` included, opens nothing and changes no lease."""
        for step in self.life.fresh:
            if isinstance(step.outcome, Refused) or step.event == "answered late":
                assert step.lease is step.lease_before
                assert not of(step.ordered, commands.Connect)
                assert "auth_success" not in [message["type"] for message in sent(step.ordered)]

    @invariant()
    def invariant_10_time_alone_extends_nothing(self) -> None:
        """Only a good answer changes a lease, and waking too early changes nothing at all."""
        for step in self.life.fresh:
            if step.event not in ("answered", "started"):
                assert step.lease is step.lease_before
            if step.event == "woken early":
                assert step.after is step.before
                assert not [command for command in step.ordered if not isinstance(command, commands.WakeAt)]

    @invariant()
    def pending_outlives_neither_its_deadline_nor_its_attempts(self) -> None:
        """Nobody stays unknown for longer than `auth_timeout`, nor after the last attempt."""
        life = self.life
        if life.machine.state in (State.HANDSHAKING, State.PENDING):
            assert life.now < NOW + life.policy.auth_timeout
        assert life.attempts > 0 or life.machine.state in OVER

    @invariant()
    def attempts_are_counted_down_and_given_back(self) -> None:
        """Each wrong credential costs one attempt, `unavailable` costs none, and a success gives them back."""
        life = self.life
        for step in life.fresh:
            for message in sent(step.ordered):
                if message["type"] == "auth_success":
                    life.attempts = life.policy.auth_attempts
                elif "attempts_left" in message:
                    life.attempts -= message["code"] != "unavailable"
                    assert message["attempts_left"] == life.attempts
                elif message.get("code") == "too_many_attempts":
                    assert life.attempts == 1

    @invariant()
    def nothing_is_delivered_before_success_was_told(self) -> None:
        """Who speaks wsauth hears `auth_success` before the application hears anything of theirs."""
        if not self.life.machine.speaks:
            return
        for step in self.life.steps:
            for command in step.ordered:
                if isinstance(command, commands.Send) and json.loads(command.text)["type"] == "auth_success":
                    return
                assert not isinstance(command, commands.Deliver)

    @invariant()
    def what_waits_is_delivered_in_order_exactly_once(self) -> None:
        """Every step delivers exactly what is due by then, byte for byte, and a close drops the rest."""
        for step in self.life.fresh:
            assert delivered(step.ordered) == step.expected

    @invariant()
    def every_good_auth_gets_exactly_one_success(self) -> None:
        """A good credential is answered at once, or when the application accepts; a bad one never."""
        for step in self.life.fresh:
            count = [message["type"] for message in sent(step.ordered)].count("auth_success")
            if step.event == "connected":
                assert count == int(self.life.machine.speaks)
            elif step.event == "answered" and step.before in LIVE:
                assert count == int(step.verdict in ("replaced", "unchanged"))
            else:
                assert count == 0
            if step.verdict == "closed":
                assert step.after in OVER

    @invariant()
    def pauses_are_balanced(self) -> None:
        """No side is paused twice or resumed unpaused, and an open connection is not paused."""
        life = self.life
        paused = {"client": False, "upstream": False}
        for step in life.steps:
            for pause in of(step.ordered, commands.Pause):
                if step.after not in OVER:
                    assert paused[pause.side] is not pause.paused
                paused[pause.side] = pause.paused
        if life.machine.state is State.OPEN:
            assert paused == {"client": False, "upstream": False}

    @invariant()
    def somebody_wakes_while_something_is_due(self) -> None:
        """The machine has asked to be woken no later than the next thing that time brings."""
        life = self.life
        state, lease, rules = life.machine.state, life.machine.lease, life.policy
        due = inf
        if state is State.PENDING:
            due = NOW + rules.auth_timeout
        elif state in (State.CONNECTING, State.OPEN):
            due = lease.ends_at
        elif state is State.STALE:
            due = lease.ends_at + max(rules.grace, rules.auth_timeout)
        if state is State.OPEN:
            due = min(due, max(life.stirred_at, lease.granted_at) + rules.idle_timeout)
        if life.question is not None:
            due = min(due, life.question.asked_at + rules.auth_timeout)
        assert due == inf or life.driven.wake_at <= due

    @invariant()
    def refusals_have_ids_and_keep_secrets(self) -> None:
        """Every no can be looked up, every close reason has the shape of the wire, no text holds a credential."""
        for step in self.life.fresh:
            for command in step.ordered:
                assert isinstance(command, commands.Deliver) or SECRET not in repr(command)
                if isinstance(command, commands.Refuse):
                    assert re.fullmatch("id[0-9]{10}", command.refusal.id)
                elif isinstance(command, commands.Close) and step.event != "left":
                    assert REASON.fullmatch(command.reason)
            for message in sent(step.ordered):
                if message["type"] in ("auth_error", "auth_refused"):
                    assert len(message["id"]) == 12


def of_event(ordered: list[commands.Command], kind: type[events.Event]) -> list[events.Event]:
    """Return the published events of one kind."""
    return [tell.event for tell in of(ordered, commands.Tell) if isinstance(tell.event, kind)]


OneConnection.TestCase.settings = settings(
    max_examples=500, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow], deadline=None
)
TestOneConnection = OneConnection.TestCase
