"""What goes upstream of any handshake: what a client may say, and what only we say."""

from hypothesis import assume, given
from hypothesis import strategies as st

from wsauth.core.forwarding import Forwarding, head
from wsauth.core.handshake import read
from wsauth.core.identity import Identity
from wsauth.core.origins import Origins
from wsauth.core.peers import Client
from wsauth.core.permissions import Permissions
from wsauth.core.request import read as read_request
from wsauth.core.routes import Policy

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
POLICY = Policy(path="/*", origins=Origins(["*"]))
OURS = [
    "host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-wsauth-issuer",
    "x-wsauth-subject",
    "x-wsauth-session",
    "x-wsauth-roles",
    "x-wsauth-permissions",
    "x-wsauth-assertion",
    "x-claim",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
    "connection",
]
"""What the upstream sees once, whatever the client sends."""
GONE = [
    "x-user",
    "x-auth-user",
    "x-real-ip",
    "forwarded",
    "te",
    "x-wsauth-truncated",
    "x-forwarded-user",
    "authorization",
]

LIES = {*OURS, *GONE, "cookie", "origin", "x-kept", "accept"} - {
    "host",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
}
usual = st.sampled_from(sorted(LIES))


@st.composite
def spelled(draw: st.DrawFn, name: str) -> str:
    """Write a name in any case, and with underscores for some dashes."""
    letters = (draw(st.sampled_from([each, each.upper(), "_" if each == "-" else each])) for each in name)
    return "".join(letters)


names = usual.flatmap(spelled) | st.text("aB-_.1", min_size=1, max_size=8)
said = st.sampled_from(["mallory", "mallory, alice", "upgrade", "X-Kept, x_wsauth_subject, X-Claim, host", "a=1"])
lines = st.lists(st.tuples(names, said), max_size=8)
texts = st.text(max_size=12)
claims: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.lists(texts, max_size=3) | st.just({})
)


identities = st.builds(
    lambda subject, issuer, roles, claim: Identity(
        subject, issuer=issuer, roles=roles, session_id=subject, claims={"claim": claim}
    ),
    texts,
    texts,
    st.lists(texts, max_size=3),
    claims,
)


@given(lines, identities, st.sampled_from(["", "/", "/a/b"]))
def test_only_we_say_who_it_is(sent: list[tuple[str, str]], identity: Identity, path: str) -> None:
    """Each of our headers is there once and ours, in whatever spelling a client's was; and the head is a strict one."""
    raw = "".join(f"{name}: {value}\r\n" for name, value in [("Connection", "upgrade"), *sent])
    rest = f"Host: a.example\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY.decode()}"
    request = read_request(f"GET /ws HTTP/1.1\r\n{raw}{rest}\r\n\r\n".encode())
    handshake = read(request.headers, b"", [], POLICY, private=True)
    assume(handshake.refused is None)
    upstream = read_request(
        head(
            Forwarding(remove_headers=("X-User", "X-Auth-*"), forward_claims={"claim": "X-Claim"}, path=path),
            handshake,
            path=request.path,
            key=KEY,
            identity=identity,
            permissions=Permissions(identity.roles),
            client=Client("192.0.2.1", way="192.0.2.1"),
            scheme="https",
            host=handshake.host,
            assertion="a.b.c",
        )
    )
    assert upstream.websocket
    folded = [name.decode().replace("_", "-") for name, _ in upstream.headers]
    for name in OURS:
        assert folded.count(name) == (0 if name == "x-claim" and identity.claims["claim"] in (None, {}) else 1), name
    assert not set(GONE) & set(folded)
    assert not any(
        b"mallory" in value for name, (_, value) in zip(folded, upstream.headers, strict=True) if name in OURS
    )
    assert upstream.path == (path.rstrip("/") + "/ws" if path else "/ws")
