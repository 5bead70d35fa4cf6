"""Message rules: the vectors, and what one message does to the next."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from wsauth.core.identity import Identity
from wsauth.core.permissions import Permissions, Roles
from wsauth.core.rules.rules import MessageRefused, Rules
from wsauth.errors import ConfigurationError
from wsauth.guard.rules import message_rules, rules_of

FOLDER = Path(__file__).parents[2] / "vectors" / "messages"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "chat.json").read_text())["cases"]
ROLES = Roles({"member": ["chat:*:send", "board:*:write"], "moderator": ["chat:**"], "payer": ["bank:send"]})
NOW = 1_800_000_000.0
TIMES = {"now": NOW, "old": NOW - 301}


@pytest.fixture(scope="module")
def rules() -> Rules:
    """Return the rules of the vectors."""
    found = rules_of(FOLDER / "chat.toml")
    assert found is not None
    return found


def somebody(case: dict[str, Any]) -> tuple[Identity, Permissions]:
    """Return whose message a case is."""
    claims = case.get("claims", {})
    time = claims.get("auth_time")
    acr = {"acr": claims["acr"]} if "acr" in claims else {}
    alice = Identity("alice", issuer="i", roles=case["roles"], auth_time=TIMES.get(time), claims=acr)
    return alice, ROLES.resolve(alice)


@pytest.mark.parametrize("case", CASES, ids=[case["about"] for case in CASES])
def test_a_message_of_the_vectors(rules: Rules, case: dict[str, Any]) -> None:
    """It passes as the case says, or is refused with its code and detail, which repeats nothing that was sent."""
    message = bytes.fromhex(case["hex"]) if "hex" in case else case["text"]
    if "code" not in case:
        assert rules.judge(message, *somebody(case), NOW, {}) == case["passes"]
        return
    with pytest.raises(MessageRefused) as no:
        rules.judge(message, *somebody(case), NOW, {})
    assert (no.value.code, case["detail"] in no.value.detail) == (case["code"], True), no.value.detail


def test_there_are_enough_of_them() -> None:
    """And each is a case of its own."""
    assert len(CASES) >= 150
    assert len({json.dumps(case) for case in CASES}) == len(CASES)


def test_a_rate_is_of_a_type_and_a_connection(rules: Rules) -> None:
    """Three an hour, spread as they come; another type and another connection have their own."""
    case = {"roles": ["member"]}
    one: dict[str, float] = {}
    for _ in range(3):
        rules.judge('{"type":"typing"}', *somebody(case), NOW, one)
    with pytest.raises(MessageRefused) as no:
        rules.judge('{"type":"typing"}', *somebody(case), NOW, one)
    assert (no.value.code, no.value.retry_after) == ("rate_limited", 1200)
    assert rules.judge('{"type":"ping"}', *somebody(case), NOW, one)
    assert rules.judge('{"type":"typing"}', *somebody(case), NOW, {})
    assert rules.judge('{"type":"typing"}', *somebody(case), NOW + 1200, one)


def test_limits_at_the_top_are_those_that_are_written() -> None:
    """Larger than the defaults too."""
    wide = message_rules({"max_depth": 30, "max_items": 5000, "messages": {"a": {}}})
    text = '{"type":"a","n":' + "[" * 25 + ",".join("1" * 3000) + "]" * 25 + "}"
    assert wide.judge(text, *somebody({"roles": []}), NOW, {}) == text


def test_nobody_has_no_session_and_no_name() -> None:
    """What the sender does not have is neither demanded nor written."""
    rules = message_rules({"messages": {"a": {"demand": {"s": "{session_id}"}}, "b": {"set": {"s": "{session_id}"}}}})
    for text in ('{"type":"a","s":""}', '{"type":"b"}'):
        with pytest.raises(MessageRefused, match="session_id"):
            rules.judge(text, *somebody({"roles": []}), NOW, {})


def test_what_the_sender_has_named_is_not_repeated() -> None:
    """A member that the schema does not name may be a secret, or a megabyte."""
    schema = {"additionalProperties": {"type": "string"}, "properties": {"n": {"type": "integer"}}}
    rules = message_rules({"messages": {"a": {"schema": schema}}})
    for text, detail in (('{"type":"a","PASSWORD=hunter2":5}', "*: type"), ('{"type":"a","n":"x"}', "n: type")):
        with pytest.raises(MessageRefused) as no:
            rules.judge(text, *somebody({"roles": []}), NOW, {})
        assert no.value.detail == detail


def test_formats_are_looked_at() -> None:
    """`format` is no ornament."""
    rules = message_rules({"messages": {"a": {"schema": {"properties": {"e": {"format": "email"}}}}}})
    with pytest.raises(MessageRefused, match="format"):
        rules.judge('{"type":"a","e":"nobody"}', *somebody({"roles": []}), NOW, {})
    assert rules.judge('{"type":"a","e":"alice@app.example"}', *somebody({"roles": []}), NOW, {})


def test_unknown_types_pass_only_where_that_is_written() -> None:
    """They are read as safely as the others."""
    lax = message_rules(tomllib.loads('unknown = "pass"\n[messages.say]\npermission = "chat:send"\n'))
    case: dict[str, Any] = {"roles": []}
    assert lax.judge('{"type":"new"}', *somebody(case), NOW, {}) == '{"type":"new"}'
    for text in ('{"type":"new","a":1,"a":2}', '{"type":7}', '{"type":"say"}', '{"type":"new","Type":"say"}'):
        with pytest.raises(MessageRefused):
            lax.judge(text, *somebody(case), NOW, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "unknown key 'x'"),
        ('unknown = "maybe"', 'write "refuse" or "pass"'),
        ("max_depth = 0", "max_depth"),
        ("messages = 1", "table for each type"),
        ("[messages.a]\npermissions = 'x'", "messages.a: unknown key 'permissions'"),
        ("[messages.a]\npermission = 'chat:*'", "is no name"),
        ("[messages.a]\npermission = 'chat::x'", "is no name"),
        ("[messages.a]\npermission = 'chat:{room'", "is no name"),
        ("[messages.a]\nset = { from = '{role}' }", "messages.a.set.from"),
        ("[messages.a]\nset = { 'a.b' = '{subject}' }", "messages.a.set.a.b"),
        ("[messages.a]\nset = 'x'", "table of texts"),
        ("[messages.a]\nset = { type = 'b' }", "messages.a.set.type"),
        ("[messages.a]\npermission = 'x{a}{b}'", "is no name"),
        ("[messages.a]\npermission = 'chat:x{a}'", "is no name"),
        ("[messages.a]\npermission = 'chat:{}'", "is no name"),
        ("[messages.a]\npermission = 'chat:{a..b}'", "is no name"),
        ("[messages.a]\npermission = 'wsauth:admin'", "is no name"),
        ("[messages.a]\npermission = 'u:{subject}'", "set or demand it"),
        ("max_depth = 33", "from 1 to 32"),
        ("[messages.a]\nmax_items = 2000", "from 1 to 1000"),
        ("[messages.a]\nacr = 5", "list of names"),
        ("[messages.a]\nschema = { pattern = '(?=a)b' }", "no JSON Schema"),
        ("[messages.a]\nrate = 'often'", "messages.a.rate"),
        ("[messages.a]\nmax_age = 'soon'", "messages.a.max_age"),
        ("[messages.a]\nacr = '2'", "list of names"),
        ("[messages.a]\nschema = { type = 5 }", "no JSON Schema"),
        ("[messages.a]\nschema = { '$ref' = 'https://evil.example/s' }", "nothing is fetched"),
        ("[messages.a]\nschema = { '$ref' = 'file:///etc/passwd' }", "nothing is fetched"),
        ("[messages.a]\nschema = 'missing.json'", "missing.json"),
        ("nonsense", "message_rules"),
    ],
)
def test_rules_that_cannot_be_meant_are_named(tmp_path: Path, text: str, said: str) -> None:
    """With the file and the place."""
    file = tmp_path / "rules.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as no:
        rules_of(file)
    assert said in str(no.value)
    assert "rules.toml" in str(no.value)
    with pytest.raises(ConfigurationError, match=r"rules\.toml"):
        rules_of(tmp_path / "nothing" / "rules.toml")
