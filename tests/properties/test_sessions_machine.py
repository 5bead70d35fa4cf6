"""Everything that may happen to the sessions of two users, in any order, against a slow and obvious model.

The subject is the service over a real store. After every step: of each session exactly the newest token goes on, an old
one ends it, and nothing of an earlier epoch is alive.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tests.unit.services.ground import LIMITS, PASSWORD, Ground, ground
from wsauth.errors import Refused
from wsauth.interfaces.sessions import Known

T = TypeVar("T")
USERS = ("alice", "bob")


@dataclass(eq=False)
class Model:
    """Be a session as the rules have it.

    Attributes:
        tokens: every refresh token that was ever given out, the newest last; a cookie's session has one.
        rotated_at: when the newest was made.
    """

    id: str
    user: str
    kind: str
    tokens: list[str]
    created_at: float
    used_at: float
    rotated_at: float
    ended: bool = False

    def lives(self, now: float) -> bool:
        """Tell whether it goes on."""
        in_time = now < self.created_at + LIMITS.absolute and now < self.used_at + LIMITS.idle
        return not self.ended and in_time


@dataclass
class Person:
    """Be a user as the rules have it."""

    password: str = PASSWORD
    disabled: bool = False
    changes: int = 0
    sessions: list[Model] = field(default_factory=list)

    def end_all(self, but: Model | None = None) -> None:
        """End every login but one."""
        for session in self.sessions:
            session.ended = session.ended or session is not but


class SessionsMachine(RuleBasedStateMachine):
    """Log in, refresh, replay, log out, change passwords, disable and enable, and let time pass."""

    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp())
        self._runner = asyncio.Runner()
        self._context = ground(self._folder)
        self.it: Ground = self._run(self._context.__aenter__())
        self.people = {name: Person() for name in USERS}

    def _run(self, work: Awaitable[T]) -> T:
        async def do() -> T:
            return await work

        return self._runner.run(do())

    def _tried(self, work: Awaitable[Known]) -> Known | str:
        try:
            return self._run(work)
        except Refused as no:
            return no.code

    @property
    def now(self) -> float:
        """Return the time."""
        return self.it.clock.now()

    def teardown(self) -> None:
        """Let go of the store."""
        self._run(self._context.__aexit__(None, None, None))
        self._runner.close()
        shutil.rmtree(self._folder)

    @initialize()
    def add_users(self) -> None:
        """Begin with Alice and Bob."""
        for name in USERS:
            self._run(self.it.users.add(name, PASSWORD))

    # What may happen.

    @rule(target=sessions, name=st.sampled_from(USERS), kind=st.sampled_from(["tokens", "cookie"]), good=st.booleans())
    def login(self, name: str, kind: Any, good: bool) -> Any:
        """Log in, with the password of now or a wrong one."""
        person = self.people[name]
        done = self._tried(self.it.sessions.login(name, person.password if good else "wrong " * 4, kind))
        if person.disabled or not good:
            assert done == "credentials_invalid"
            return multiple()
        assert isinstance(done, Known)
        make = self.it.sessions.refresh_token if kind == "tokens" else self.it.sessions.cookie
        model = Model(done.session.id, name, kind, [make(done.session)], self.now, self.now, self.now)
        assert all(model.id != other.id for each in self.people.values() for other in each.sessions)
        person.sessions.append(model)
        return model

    @rule(model=sessions, age=st.integers(0, 3))
    def refresh(self, model: Model, age: int) -> None:
        """Present the newest refresh token, the one before it, or an older one; or touch a cookie's session."""
        if model.kind == "cookie":
            self._touch(model)
            return
        age = min(age, len(model.tokens) - 1)
        done = self._tried(self.it.sessions.refresh(model.tokens[-1 - age]))
        if not model.lives(self.now):
            assert done == "session_revoked"
        elif age == 0:
            assert isinstance(done, Known)
            model.tokens.append(self.it.sessions.refresh_token(done.session))
            model.used_at = model.rotated_at = self.now
            assert len(set(model.tokens)) == len(model.tokens)
        elif age == 1 and self.now < model.rotated_at + LIMITS.grace:
            assert isinstance(done, Known)
            assert self.it.sessions.refresh_token(done.session) == model.tokens[-1]
        else:
            assert done == "session_revoked"
            model.ended = True

    def _touch(self, model: Model) -> None:
        generation = int(model.tokens[-1].split(".")[2])
        done = self._tried(self.it.sessions.touch(model.id, generation))
        assert isinstance(done, Known) == model.lives(self.now)
        if isinstance(done, Known):
            model.used_at = self.now

    @rule(model=consumes(sessions))
    def logout(self, model: Model) -> None:
        """End one session; again is harmless."""
        self._run(self.it.sessions.end(model.id, subject=model.user))
        assert not self._run(self.it.sessions.end(model.id))
        model.ended = True

    @rule(model=sessions, old=st.sampled_from(["good", "good", "wrong"]))
    def change_password(self, model: Model, old: str) -> None:
        """Change the password from a session, which is carried."""
        person, it = self.people[model.user], self.it
        known = self._run(it.sessions.find(model.id))
        assert (known is not None) == model.lives(self.now)
        if known is None:
            return
        new = f"{PASSWORD} {person.changes + 1}"
        current = person.password if old == "good" else "wrong " * 4
        done = self._tried(it.change_password(known, old=current, new=new))
        if old == "wrong":
            assert done == "credentials_invalid"
            return
        assert isinstance(done, Known)
        person.password, person.changes = new, person.changes + 1
        person.end_all(but=model)
        if model.kind == "cookie":
            model.tokens.append(it.sessions.cookie(done.session))

    @rule(name=st.sampled_from(USERS), how=st.sampled_from(["disable", "enable", "logout everywhere", "reset"]))
    def administer(self, name: str, how: str) -> None:
        """Disable or enable somebody, end all their logins, or give them another password."""
        person, it = self.people[name], self.it
        if how == "disable":
            self._run(it.users.disable(name))
            person.disabled = True
        elif how == "enable":
            self._run(it.users.enable(name))
            person.disabled = False
            return
        elif how == "reset":
            person.changes += 1
            person.password = f"{PASSWORD} {person.changes}"
            self._run(it.users.set_password(name, person.password))
        else:
            assert self._run(it.sessions.end_all(name))
        person.end_all()

    @rule(seconds=st.sampled_from([1.0, 10.0, 19.0, 20.0, 3600.0, LIMITS.idle - 1, LIMITS.idle, 15 * 86_400.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.it.clock.advance(seconds)

    @rule()
    def prune(self) -> None:
        """Forget what has ended by time."""
        self._run(self.it.store.sessions.prune(LIMITS, self.now))

    # What always holds.

    @invariant()
    def the_living_live_and_no_others(self) -> None:
        """The store lists exactly the sessions that the rules let live, each of the epoch of its user."""
        for name, person in self.people.items():
            if not person.sessions:
                continue
            live = self._run(self.it.sessions.of(name))
            assert {session.id for session in live} == {each.id for each in person.sessions if each.lives(self.now)}
            epoch = self._run(self.it.users.get(name)).epoch
            assert all(session.epoch == epoch for session in live)

    @invariant()
    def one_cookie_opens_and_no_other(self) -> None:
        """Of all cookies that a session ever had exactly the newest opens, while it lives; nobody heeds a feed here."""
        self.it.sessions._known.clear()
        for person in self.people.values():
            for model in person.sessions:
                if model.kind == "cookie":
                    opened = [self._opens(value) for value in model.tokens]
                    assert opened == [False] * (len(opened) - 1) + [model.lives(self.now)]

    def _opens(self, cookie: str) -> bool:
        return isinstance(self._tried(self._of_cookie(cookie)), Known)

    async def _of_cookie(self, cookie: str) -> Known:
        known = await self.it.sessions.of_cookie(cookie)
        assert known is not None
        return known


TestSessions = SessionsMachine.TestCase
TestSessions.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
