"""A provider that is asked again: what its answers mean, and what is lost when one of its parts fails."""

from typing import Any

import pytest

from tests.issuing import NOW, SECRET, SteppedClock, as_json, eventually, provider, response, signed
from wsauth.core.identity import Identity
from wsauth.core.tokens.rights import role_map
from wsauth.errors import Refused
from wsauth.providers.endpoints import ConfiguredEndpoints, Discovery, Endpoints
from wsauth.providers.provider import CodeProvider
from wsauth.verifiers.jwt import JWTVerifier

LOGIN = "https://login.example.com"
ALICE = Identity("alice", issuer=LOGIN, roles=["member"])


class Answering:
    """Be an endpoint that answers with a document, or fails.

    Attributes:
        document: the answer.
    """

    def __init__(self, document: object) -> None:
        self.document = document

    async def ask(self, *_: object) -> tuple[int, bytes]:
        """Answer."""
        if isinstance(self.document, Refused):
            raise self.document.as_value()
        return 200, as_json(self.document)

    def unusable(self, why: str) -> Refused:
        """Say that an answer says nothing."""
        return Refused("unavailable", why)


def made(said: object, userinfo: object = None, *, openid: bool = True, **changes: Any) -> CodeProvider:
    """Return a provider whose endpoints answer so."""
    settings: dict[str, Any] = {
        "name": "idp", "issuer": LOGIN, "client_id": "web", "client_secret": "s", "client_auth": "basic",
        "scopes": ["openid"], "subject_claim": "sub", "roles_claim": "roles", "roles": role_map({"staff": "member"}),
        "required_claims": {}, "recheck": 300.0, "clock": SteppedClock(),
    } | changes  # fmt: skip
    judge = JWTVerifier(issuer=LOGIN, audience="web", secret=SECRET, subject_claim=settings["subject_claim"], max_ttl=0,
                        roles={"staff": "member"}, clock=SteppedClock())  # fmt: skip
    found = CodeProvider(
        whereabouts=ConfiguredEndpoints(Endpoints(authorization="https://a", token="https://t", userinfo="https://u")),
        id_tokens=judge if openid else None,
        **settings,
    )
    found._asked = {"https://t": Answering(said), "https://u": Answering(userinfo)}  # type: ignore[dict-item]  # as far as it is asked
    return found


def id_token(**changes: Any) -> str:
    """Return an ID token."""
    said = {"iss": LOGIN, "aud": "web", "sub": "alice", "iat": NOW, "exp": NOW + 60} | changes
    return signed(said, typ="JWT")


def tokens(**changes: Any) -> dict[str, Any]:
    """Return an answer of the token endpoint."""
    return {"access_token": "at", "token_type": "Bearer", "refresh_token": "rt-2"} | changes


async def renewed(provider: CodeProvider) -> tuple[str, tuple[str, ...], bool]:
    """Return whom a renewal speaks of, their roles, and whether it speaks of roles at all."""
    said = await provider.renew("rt-1", ALICE, lambda _: None)
    return said.whom.subject, said.whom.roles, said.knows_roles


async def code_of(provider: CodeProvider) -> str:
    """Return the code with which a renewal is refused."""
    with pytest.raises(Refused) as no:
        await renewed(provider)
    return no.value.code


async def test_a_renewal_need_not_say_who_it_is() -> None:
    """OpenID Connect Core section 12.2: without an ID token the login stands, and roles that nobody names stay."""
    assert await renewed(made(tokens(), {"sub": "alice"})) == ("alice", (), False)
    assert await renewed(made(tokens(), {"sub": "alice", "roles": ["staff"]})) == ("alice", ("member",), True)
    assert await renewed(made(tokens(), {"name": "Alice"}, subject_claim="oid")) == ("alice", (), False)
    assert await renewed(made(tokens(id_token=id_token(roles=[])))) == ("alice", (), True)


async def test_a_renewal_of_somebody_else_ends_the_login() -> None:
    """Another subject, in the ID token or the userinfo, or an ID token that is not good."""
    assert await code_of(made(tokens(), {"sub": "mallory"})) == "session_revoked"
    assert await code_of(made(tokens(id_token=id_token(sub="mallory")), {})) == "session_revoked"
    assert await code_of(made(tokens(id_token=id_token(aud="another")))) == "session_revoked"
    assert await code_of(made({"error": "invalid_grant"})) == "session_revoked"
    assert await code_of(made({"error": "invalid_client"})) == "unavailable"


async def test_an_id_token_that_is_nobodys_business_is_passed_over() -> None:
    """OAuth 2 by endpoints of a provider that sends ID tokens too, and an answer whose `id_token` is null."""
    alice = {"sub": "alice", "roles": ["staff"]}
    assert await renewed(made(tokens(id_token=id_token()), alice, openid=False)) == ("alice", ("member",), True)
    assert await renewed(made(tokens(id_token=None), alice)) == ("alice", ("member",), True)


async def test_the_next_refresh_token_is_handed_out_first() -> None:
    """Whatever fails after it, it is not lost; an empty one is none."""
    kept: list[str] = []
    down = Refused("unavailable", "down")
    with pytest.raises(Refused):
        await made(tokens(), down).renew("rt-1", ALICE, kept.append)
    assert kept == ["rt-2"]
    said = await made(tokens(refresh_token=""), {"sub": "alice"}).renew("rt-1", ALICE, kept.append)
    assert (kept, said.refresh_token) == (["rt-2"], None)


async def test_required_claims_hold_without_an_id_token() -> None:
    """OAuth 2 by endpoints: the userinfo must say what is required."""
    required = {"hd": "example.com"}
    for hd, good in ({"hd": "example.com"}, True), ({"hd": "evil.example"}, False), ({}, False):
        userinfo = {"sub": "alice", **hd}
        it = made(tokens(), userinfo, openid=False, required_claims=required)
        if good:
            said = await it.redeem("c", redirect_uri="https://r", nonce="n", verifier="v")
            assert said.whom.subject == "alice"
        else:
            with pytest.raises(Refused, match="required_claims"):
                await it.redeem("c", redirect_uri="https://r", nonce="n", verifier="v")


async def test_a_silent_provider_is_read_once_for_all() -> None:
    """Five who wait are told at once; what was read before counts meanwhile, and is read anew beside them."""
    async with provider() as idp:
        clock = SteppedClock()
        path = "/.well-known/openid-configuration"
        good = {"issuer": idp.url, "authorization_endpoint": f"{idp.url}/a", "token_endpoint": f"{idp.url}/t"}
        found = Discovery(idp.url, clock)
        idp.answers[path] = response(b"", status="503 Down")
        for _ in range(5):
            with pytest.raises(Refused, match="503"):
                await found.endpoints()
        assert idp.asked == [path]
        clock.advance(2)
        idp.answers[path] = good
        assert (await found.endpoints()).token == f"{idp.url}/t"
        clock.advance(600)
        idp.answers[path] = None  # for ever
        assert (await found.endpoints()).token == f"{idp.url}/t"
        await eventually(lambda: len(idp.asked) == 3)
        assert (await found.endpoints()).token == f"{idp.url}/t"
        await found.aclose()


async def test_a_provider_that_changes_its_issuer_is_another(caplog: pytest.LogCaptureFixture) -> None:
    """What was read before counts for a day, so that a mistake there stops nobody at once; then nobody signs in."""
    async with provider() as idp:
        clock, path = SteppedClock(), "/.well-known/openid-configuration"
        good = {"issuer": idp.url, "authorization_endpoint": f"{idp.url}/a", "token_endpoint": f"{idp.url}/t"}
        idp.answers[path] = good
        found = Discovery(idp.url, clock)
        await found.endpoints()
        idp.answers[path] = good | {"issuer": "https://evil.example", "token_endpoint": "https://evil.example/t"}
        clock.advance(600)
        assert (await found.endpoints()).token == f"{idp.url}/t"
        await eventually(lambda: "names another issuer" in caplog.text)
        clock.advance(86_400)
        with pytest.raises(Refused, match="names another issuer"):
            await found.endpoints()
        await found.aclose()
