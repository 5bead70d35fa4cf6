"""How a connection carries out what its machine orders, with a transport that notes it."""

import json
from collections.abc import Callable
from typing import Literal

import pytest

from tests.issuing import NOW, SECRET, SteppedClock, claims, signed
from wsauth import Credentials, Guard, Identity, JWTVerifier, Refused, Route
from wsauth.core.handshake import read
from wsauth.core.protocol.commands import Message, Verify
from wsauth.core.protocol.states import State
from wsauth.core.refusals import Refusal
from wsauth.services.connections.connection import Connection

SLOW = "opaque"


class Recording:
    """Be a transport that notes what is ordered.

    Attributes:
        orders: in order, each by its name; deliveries by their message.
        questions: that nobody has answered yet.
        on_connect: called where the upstream is to be reached.
        on_close: called where both sides are to be closed.
    """

    connection: Connection

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.questions: list[Verify] = []
        self.on_connect: Callable[[], None] = lambda: None
        self.on_close: Callable[[], None] = lambda: None

    def accept(self, subprotocol: str) -> None:
        """Note it."""
        self.orders.append("accept")

    def refuse(self, refusal: Refusal) -> None:
        """Note it."""
        self.orders.append(f"refuse {refusal.code}")

    def verify(self, question: Verify) -> None:
        """Keep the question."""
        self.questions.append(question)

    def connect(self) -> None:
        """Do what the test says."""
        self.orders.append("connect")
        self.on_connect()

    def send_control(self, text: str) -> None:
        """Note the type."""
        self.orders.append(json.loads(text)["type"])

    def deliver(self, message: Message) -> None:
        """Note the message."""
        self.orders.append(str(message))

    def pause(self, side: Literal["client", "upstream"], paused: bool) -> None:
        """Note it."""
        self.orders.append(f"{'hold' if paused else 'release'} {side}")

    def close(self, code: int, reason: str, *, at_once: bool = False) -> None:
        """Note it."""
        self.orders.append(f"close {code}")
        self.on_close()

    def bytes_received(self) -> int | None:
        """Be on no socket."""
        return None

    def abort(self) -> None:
        """Note it."""
        self.orders.append("abort")


class Slow:
    """Know one opaque token, which nobody judges at once."""

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return Alice."""
        return Identity("alice", issuer="login", claims={"iat": NOW - 9}) if credentials.secret == SLOW else None


class World:
    """Be a guard without a server: Alice's tokens, and a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        jwt = JWTVerifier(issuer=None, audience=None, secret=SECRET, name="login", clock=self.clock, leeway=0)
        self.guard = Guard(
            verifiers=[jwt, Slow()], origins=[], clock=self.clock, routes=[Route("/nobody", anonymous=True)]
        )

    def begin(self, path: str = "/ws", *, token: str = "", face: Recording | None = None) -> Recording:
        """Begin a handshake of a client that speaks wsauth."""
        face = face or Recording()
        headers = [(b"host", b"wsauth.test")]
        if token:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        handshake = read(headers, b"", ["wsauth.v1"], self.guard.routes.find(path), private=True)
        face.connection = self.guard.connections.open(handshake, face, path, "192.0.2.1", True)
        face.connection.start()
        return face

    def token(self, *, lasts: int = 3600) -> str:
        """Return a token of Alice's, who is known by it at once."""
        return signed(claims(iss=None, aud=None, exp=NOW + lasts))

    @property
    def deadlines(self) -> int:
        """Return for how many connections something is due."""
        return len(self.guard.connections.deadlines)


def auth(token: str) -> str:
    """Return the message that presents a token."""
    return json.dumps({"type": "auth", "token": token})


@pytest.fixture
def world() -> World:
    """Make a guard."""
    return World()


def failing(face: Recording) -> Callable[[], None]:
    """Return what an upstream does that fails at once."""
    return lambda: face.connection.end(Refused("upstream_unavailable", "nobody is there", retry_after=1))


@pytest.mark.parametrize("known", [True, False])
async def test_reaching_what_is_behind_comes_last_since_it_may_fail_at_once(world: World, known: bool) -> None:
    """The refusal is the last order, the connection is forgotten, and nothing of it is due any more."""
    face = Recording()
    face.on_connect = failing(face)
    world.begin("/ws" if known else "/nobody", token=world.token() if known else "", face=face)
    for question in face.questions:
        face.connection.answer(question, await face.connection.judge(question))
    assert face.orders == ["connect", "refuse upstream_unavailable"]
    assert face.connection.machine.state is State.CLOSED
    assert (len(world.guard.connections), world.deadlines) == (0, 0)


async def test_an_upstream_that_accepts_at_once_finds_everything_done(world: World) -> None:
    """What is due next is what the open connection asked for, and not what the step before did."""
    face = Recording()
    face.on_connect = lambda: face.connection.connected(None)
    world.begin(token=world.token(lasts=300), face=face)
    assert face.orders == ["connect", "accept", "auth_success"]
    world.clock.advance(271)
    assert face.orders[3:] == ["auth_expiring"]


async def test_what_stands_behind_a_question_whose_answer_is_known_is_done(world: World) -> None:
    """A renewal that waited with other messages takes none of them away."""
    face = world.begin()
    for message in (auth(SLOW), auth(world.token()), "one", "two"):
        face.connection.received(message)
    assert face.orders == ["accept", "auth_required"]
    [question] = face.questions
    face.connection.answer(question, await face.connection.judge(question))
    face.orders.clear()
    face.connection.connected(None)
    assert sorted(face.orders) == ["auth_success", "auth_success", "one", "two"]
    assert face.orders.index("one") < face.orders.index("two")
    assert face.questions == [question]


async def test_nothing_is_due_after_the_end(world: World) -> None:
    """A transport that is gone as soon as it closes ends in the middle of a step; what that still asks for is void."""
    face = world.begin("/nobody")
    face.connection.connected(None)
    assert world.deadlines == 1
    face.on_close = lambda: face.connection.gone(1006, "")
    face.connection.end(Refused("disconnected", "as decided"))
    assert face.orders[-2:] == ["auth_error", "close 3003"]
    assert (len(world.guard.connections), world.deadlines) == (0, 0)


async def test_a_connection_that_closes_is_cut_in_time(world: World) -> None:
    """A close frame that nobody answers is no end: that is due five seconds later."""
    face = world.begin("/nobody")
    face.connection.connected(None)
    face.connection.end(Refused("disconnected", "as decided"))
    assert face.orders[-1] == "close 3003"
    world.clock.advance(4.9)
    assert face.orders[-1] == "close 3003"
    world.clock.advance(0.2)
    assert face.orders[-1] == "abort"
