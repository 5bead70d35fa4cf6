"""What `docs/how-to/upstreams.md` shows for reading the headers gets back what wsauth wrote."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import node as nodejs
from tests.end_to_end.backends.running import ROOT
from wsauth.core.forwarded import identity_headers
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.permissions import Permissions

pytestmark = pytest.mark.anyio
PAGE = (ROOT / "docs" / "how-to" / "upstreams.md").read_text("utf-8")
ODD = "zoë, 100 % + ☃"
VISITORS = {
    "somebody": (
        Identity(ODD, issuer="https://login.example.com/a,b", roles=["member", ODD], session_id="s 1"),
        Permissions(["chat:send", ODD], ["rooms:*:read"]),
    ),
    "without a session": (Identity("bob", issuer="wsauth"), Permissions([])),
    "nobody": (NOBODY, Permissions([])),
    "with too many roles": (
        Identity("bob", issuer="shop", roles=[f"role {number}" for number in range(999)]),
        Permissions([]),
    ),
}


def block(language: str, holding: str) -> str:
    """Return the page's only example in a language that holds a text."""
    (found,) = [each for each in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holding in each]
    return str(found)


@pytest.fixture(params=VISITORS)
def visitor(request: pytest.FixtureRequest) -> tuple[dict[str, str], dict[str, Any]]:
    """Return headers, and what they say."""
    who, may = VISITORS[request.param]
    long = request.param == "with too many roles"
    return dict(identity_headers(who, may)), {
        "issuer": None if who is NOBODY else who.issuer,
        "subject": None if who is NOBODY else who.subject,
        "session": who.session_id,
        "roles": None if long else list(who.roles),
        "permissions": list(may.names),
    }


def test_python(visitor: tuple[dict[str, str], dict[str, Any]]) -> None:
    """The function of the page reads them."""
    headers, expected = visitor
    names: dict[str, Any] = {}
    exec(block("python", "def visitor"), names)  # noqa: S102  the page is ours
    assert names["visitor"](headers) == expected


async def test_node(node: Path, visitor: tuple[dict[str, str], dict[str, Any]]) -> None:
    """So does the other one, of headers in lower case, as Node has them."""
    headers, expected = visitor
    script = block("js", "function visitor") + "\nconsole.log(JSON.stringify(visitor(JSON.parse(process.argv[2]))));"
    low = json.dumps({name.lower(): value for name, value in headers.items()})
    (said,) = await nodejs.run(node, script, low)
    assert json.loads(said) == expected
