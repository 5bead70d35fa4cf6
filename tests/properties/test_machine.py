"""Arbitrary lives of one connection: whatever happens in whatever order, the invariants of the machine hold.

The numbers in the names are those of docs/topics/machine.md. Of 2, 8, 9 and 10 only the machine's part is seen here:
registering, the feed and the clock belong to services.
"""

import json
import re
from itertools import pairwise
from math import inf

from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant

from tests.properties.machine_model import ALL_ROLES, GRANTED, HELD_LIMIT, LIVE, OVER, delivered, of, sent
from tests.properties.machine_rules import SECRET, AnyLife
from tests.unit.core.protocol.driving import NOW
from wsauth.core import events
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.lease import is_older, is_weaker
from wsauth.core.protocol import commands
from wsauth.core.protocol.states import State
from wsauth.errors import Refused

REASON = re.compile(r"[a-z_]+;id=id[0-9]{10}(;retry_after=[0-9]+)?|draining;retry_after=[0-9]+")


class OneConnection(AnyLife):
    """Live one connection with a punctual host, and look at it after every event."""

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
                assert nobody or isinstance(step.outcome, Identity)

    @invariant()
    def invariant_3_identity_end_and_rights_come_from_one_credential(self) -> None:
        """A lease is what the newest good credential says, all of it, but for what changed from elsewhere since.

        Older and weaker credentials change nothing.
        """
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
    def invariant_3_an_extension_moves_the_end_alone_and_forwards(self) -> None:
        """Whatever it asks for, the rest of the lease stays, and who speaks hears exactly of what moved."""
        for step in self.life.fresh:
            if step.event != "extended" or step.lease_before is None:
                continue
            old, new = step.lease_before, step.lease
            assert new is not None
            assert new.ends_at >= old.ends_at
            assert (new.identity, new.fingerprint) == (old.identity, old.fingerprint)
            assert new.permissions is old.permissions
            moved = new is not old
            assert moved is (new.ends_at > old.ends_at)
            assert not moved or step.before in GRANTED
            assert len(of_event(step.ordered, events.Renewed)) == int(moved and step.before in LIVE)
            assert step.after is (State.OPEN if moved and step.before is State.STALE else step.before) or (
                step.after in OVER and 1009 in [close.code for close in of(step.ordered, commands.Close)]
            )

    @invariant()
    def invariant_3_changed_rights_leave_the_end(self) -> None:
        """Identity and rights change together, the end and what tells the same token again stay."""
        for step in self.life.fresh:
            if step.event != "rights changed" or step.lease_before is None:
                continue
            old, new = step.lease_before, step.lease
            assert new is not None
            assert (new.granted_at, new.ends_at, new.fingerprint) == (old.granted_at, old.ends_at, old.fingerprint)
            assert (new is not old) is (step.before in GRANTED)
            assert step.after is step.before or step.after in OVER

    @invariant()
    def without_a_required_permission_nothing_passes(self) -> None:
        """Nobody is let in or kept who lacks one, however it was lost."""
        life = self.life
        for step in life.fresh:
            lease = step.lease
            if lease is not None and any(name not in lease.permissions for name in life.policy.require):
                assert step.after in OVER
                assert not delivered(step.ordered)

    @invariant()
    def rights_that_what_is_behind_was_told_of_do_not_go_silently(self) -> None:
        """Where it cannot be told, the connection ends in that step, and nothing more passes on either side."""
        required = self.life.policy.require
        for step in self.life.fresh:
            ends = [close.reason for close in of(step.ordered, commands.Close)]
            ends += [order.refusal.code for order in of(step.ordered, commands.Refuse)]
            changed = [reason for reason in ends if reason.startswith("rights_changed")]
            missing = step.lease is not None and any(name not in step.lease.permissions for name in required)
            assert len(changed) == int(step.lost and not missing)
            if step.lost:
                assert step.after in OVER
                assert not delivered(step.ordered)
                assert not of(step.ordered, commands.Pause)
                assert "auth_success" not in [message["type"] for message in sent(step.ordered)]

    @invariant()
    def changed_rights_are_told_exactly_once(self) -> None:
        """Who speaks wsauth hears of other rights while open or stale, and never of equal ones or twice."""
        for step in self.life.fresh:
            old, new = step.lease_before, step.lease
            told = [message for message in sent(step.ordered) if message["type"] == "auth_changed"]
            if step.event != "rights changed" or old is None or new is None or step.after not in LIVE:
                assert not told
                continue
            differ = old.permissions != new.permissions or set(old.identity.roles) != set(new.identity.roles)
            assert len(of_event(step.ordered, events.RightsChanged)) == int(differ)
            assert len(told) == int(differ and self.life.machine.speaks)
            for message in told:
                assert message["roles"] == list(new.identity.roles)
                assert message["permissions"] == list(new.permissions.names)

    @invariant()
    def invariant_4_the_end_is_within_every_bound(self) -> None:
        """No lease ends after its credential or session, nor after `max_connection_age`, nor before it began."""
        lease = self.life.machine.lease
        if lease is not None:
            assert lease.granted_at < lease.ends_at <= NOW + self.life.policy.max_connection_age
            if lease.identity.expires_at is not None:
                assert lease.ends_at <= max(lease.identity.expires_at, self.life.extended_to)

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
                assert asked[0].credentials.secret == step.newest
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
        """Only a good answer or a change from elsewhere changes a lease; waking too early changes nothing at all."""
        for step in self.life.fresh:
            if step.event not in ("answered", "started", "extended", "rights changed"):
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
                if message["type"] == "auth_success" and step.event != "extended":
                    life.attempts = life.policy.auth_attempts
                elif "attempts_left" in message:
                    life.attempts -= message["code"] != "unavailable"
                    assert message["attempts_left"] == life.attempts
                elif message.get("code") == "too_many_attempts":
                    assert life.attempts == 1

    @invariant()
    def who_speaks_offered_it_or_authenticated_by_a_message(self) -> None:
        """Nobody else's messages are looked at, and nobody begins or stops to speak in between."""
        by_message = any(step.before is State.PENDING and step.verdict == "replaced" for step in self.life.steps)
        assert self.life.machine.speaks is (self.life.offered or by_message)

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
    def every_good_auth_and_extension_gets_exactly_one_success(self) -> None:
        """A good credential is answered at once, or when the application accepts; a bad one never."""
        for step in self.life.fresh:
            count = [message["type"] for message in sent(step.ordered)].count("auth_success")
            if step.event == "connected":
                assert count == int(self.life.machine.speaks)
            elif step.event == "answered" and step.before in LIVE:
                assert count == int(step.verdict in ("replaced", "unchanged"))
            elif step.event == "extended" and step.before in LIVE:
                assert count == int(self.life.machine.speaks and step.lease is not step.lease_before)
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
