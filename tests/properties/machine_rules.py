"""Everything that may happen to one connection, as rules that hypothesis puts into any order."""

from math import inf
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.properties.machine_model import GRANTED, LIVE, OVER, Life, Said, auth, of
from tests.unit.core.protocol.driving import BEARER, NOW, ORIGIN, handshake, person, policy
from wsauth.core.handshake import Handshake
from wsauth.core.identity import NOBODY
from wsauth.core.protocol import commands
from wsauth.core.protocol.states import State
from wsauth.core.routes import Policy
from wsauth.errors import Refused

__all__ = ["SECRET", "AnyLife"]

SECRET = "SECRET"
ASSURANCE: list[dict[str, Any]] = [{}, {"acr": "1"}, {"acr": "2", "amr": ["mfa"]}, {"cnf": {"jkt": "key"}}]
CHANGES: list[dict[str, Any]] = [
    {},
    {"subject": "bob"},
    {"issuer": "https://mallory.example"},
    {"roles": ("guest",)},
    {"claims": {"acr": "1"}},
]
ROLES = [("member",), ("member", "friend")]
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
        "on_rights_change": st.sampled_from(["keep", "reconnect", "reconnect"]),
    }
)
asks = st.sampled_from(["header", "header", "page", "in-band", "in-band", "in-band page", "two", "foreign page"])
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


class AnyLife(RuleBasedStateMachine):
    """Live one connection with a punctual host."""

    life: Life
    serial = 0
    patience = 0

    @initialize(
        rules=policies,
        how=asks,
        speaks=st.sampled_from([True, True, False]),
        readable=st.booleans(),
        lasts=st.sampled_from([0.0, 0.0, 1.0, -6.0, 6.0, 20.0, -60.0, 300.0]),
        roles=st.sampled_from(ROLES),
    )
    def begin(  # noqa: PLR0917  hypothesis gives them by name
        self, rules: dict[str, Any], how: str, speaks: bool, readable: bool, lasts: float, roles: tuple[str, ...]
    ) -> None:
        """Come with some handshake to some route, and mostly be let in at once, for so many seconds.

        Where `lasts` is negative the verdict on the handshake's credentials is known without asking.
        """
        self.life = Life(asked_for(how, policy(**rules), speaks), readable)
        note(f"{how} speaks={speaks} readable={readable} lasts={lasts} roles={roles} {rules}")
        alice = person(ends=NOW + abs(lasts), roles=roles, claims={"acr": "1"} if lasts == 20 else {})
        self.life.start(alice if lasts < 0 else None)
        if lasts and self.life.machine.state is State.PENDING:
            self.life.say(Said(auth(token=f"{SECRET}-0"), "auth", "token", f"{SECRET}-0"))
        if lasts and self.life.question is not None:
            self.life.answer(alice)
        if lasts and self.life.machine.state is State.CONNECTING:
            self.life.do("connected", lambda: self.life.driven.connect(None))

    @initialize(patience=st.sampled_from([3, 20, 40, 60]))
    def be_patient(self, patience: int) -> None:
        """Let nobody end the connection before it has lived for so many events."""
        self.patience = patience

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
        roles=st.sampled_from([*ROLES, ("guest",)]),
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
    @rule(back=st.integers(0, 1), good=st.booleans())
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
    @rule(given=st.booleans())
    def introduce(self, given: bool) -> None:
        """Tell what is behind whose connection it is, and what they may do, perhaps right after that became more."""
        life = self._begun()
        identity = life.machine.lease.identity
        if given and identity is not NOBODY:
            life.change_rights((*identity.roles, "guest", "friend"))
        if life.machine.state is State.CONNECTING:
            life.introduce()

    @precondition(lambda self: self.life.machine.state is State.CONNECTING)
    @rule(choice=st.sampled_from([None, "chat", "unknown"]))
    def connect(self, choice: str | None) -> None:
        """Let the application accept."""
        life = self._begun()
        life.do("connected", lambda: life.driven.connect(choice))

    @precondition(_can_speak)
    @rule(length=st.sampled_from([20, 20, 20, 9_000, 9_000, 70_000]), times=st.sampled_from([1, 1, 2, 3]))
    def speak(self, length: int, times: int) -> None:
        """Send messages of the application's, short or long, as long as anybody reads."""
        self._begun()
        self._talk(length, times)

    def _talk(self, length: int, times: int) -> None:
        for _ in range(times):
            if self._can_speak():
                self.serial += 1
                text = f'{{"type":"chat","n":{self.serial},"text":"auth"}}'.ljust(length, " ")
                self.life.say(Said(text))

    @precondition(_can_speak)
    @rule()
    def speak_binary(self) -> None:
        """Send a binary message."""
        life = self._begun()
        self.serial += 1
        life.say(Said(b"%d" % self.serial))

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
        changes=st.sampled_from(CHANGES[:1] * 3 + CHANGES),
    )
    def renew(self, secret: str, takes: float, lasts: float, age: int, changes: dict[str, Any]) -> None:
        """Send a token, mostly a good and newer one, have it verified in this time, and talk meanwhile."""
        self.present(secret, "token")
        life = self.life
        self._talk(18 if takes < 4 else 9_000, 2)
        life.advance(takes)
        if life.question is not None:
            life.answer(person(**{"ends": life.now + lasts, "iat": int(life.now) - age, **changes}))

    @precondition(_can_speak)
    @precondition(lambda self: self.life.machine.state is State.OPEN and self.life.machine.lease.ends)
    @rule(
        secret=secrets,
        before=st.sampled_from([0.5, 0.0, -0.5]),
        outcome=st.sampled_from(["good", "less", "bad", "none"]),
    )
    def renew_at_the_end(self, secret: str, before: float, outcome: str) -> None:
        """Send a token just before or after the lease's end, talk a lot, and perhaps have it verified then."""
        life = self._begun()
        life.advance(max(0.0, life.machine.lease.ends_at - before - life.now))
        if self._can_speak():
            life.say(Said(auth(token=secret), "auth", "token", secret))
        self._talk(9_000, 2)
        life.advance(1.0)
        if life.question is not None and outcome != "none":
            good = person(ends=life.now + 20, iat=int(life.now), roles=("guest",) if outcome == "less" else ("member",))
            life.answer(Refused("token_invalid", "as the verifier said") if outcome == "bad" else good)

    @precondition(_goes_on)
    @precondition(lambda self: self.life.machine.lease is not None or self._is_late())
    @rule(by=st.sampled_from([-20.0, 0.0, 0.5, 6.0, 20.0, 300.0, 90_000.0, inf]), from_now=st.booleans())
    def extend(self, by: float, from_now: bool) -> None:
        """Let the session be refreshed elsewhere: until so much later than now, or than the lease's end."""
        life = self._begun()
        lease = life.machine.lease
        life.extend((life.now if from_now or lease is None else lease.ends_at) + by)

    @precondition(lambda self: self.life.machine.state is State.OPEN and self.life.machine.lease.ends)
    @rule(after=st.sampled_from([0.0, 1.0, 9.75]), lasts=st.sampled_from([0.0, 6.0, 20.0]))
    def extend_at_the_end(self, after: float, lasts: float) -> None:
        """Talk, and let the session be refreshed a little after the lease's end."""
        life = self._begun()
        life.advance(max(0.0, life.machine.lease.ends_at - life.now))
        self._talk(9_000, 2)
        life.advance(after)
        life.extend(life.now + lasts)

    @precondition(_goes_on)
    @precondition(lambda self: self.life.machine.lease is None or self.life.machine.lease.identity is not NOBODY)
    @rule(roles=st.sampled_from([*ROLES, ("guest",), ()]))
    def change_rights(self, roles: tuple[str, ...]) -> None:
        """Let an administrator give or take roles."""
        self._begun().change_rights(roles)

    @precondition(lambda self: self.life.machine.state in GRANTED and self.life.machine.lease.identity is not NOBODY)
    @rule(given=st.sampled_from(["friend", "guest"]), taken=st.sampled_from(["friend", "guest", "member"]))
    def change_rights_twice(self, given: str, taken: str) -> None:
        """Let an administrator give one role and take one away, which may be the same."""
        life = self._begun()
        roles = (*life.machine.lease.identity.roles, given)
        life.change_rights(roles)
        if life.machine.state in GRANTED:
            life.change_rights(tuple(role for role in roles if role != taken))

    @precondition(lambda self: self.life.machine.state in (State.PENDING, State.STALE))
    @rule()
    def say_nothing_more(self) -> None:
        """Let time pass until the next deadline of somebody who may not stay as they are."""
        life = self._begun()
        life.advance(max(0.0, life.driven.wake_at - life.now))

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
