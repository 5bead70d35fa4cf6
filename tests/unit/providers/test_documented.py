"""The blocks of docs/how-to/sign-in.md: each signs in whom the provider's documented ID token speaks of."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.issuing import SteppedClock, as_json, private_key, public_pem, signed
from wsauth.core.credentials import Credentials
from wsauth.errors import Refused
from wsauth.guard.issuers import verifiers_of
from wsauth.guard.providers import providers_of
from wsauth.providers.endpoints import ConfiguredEndpoints, Endpoints
from wsauth.providers.provider import CodeProvider
from wsauth.services.keys.configured import keys_of_pem
from wsauth.settings import Settings
from wsauth.verifiers.jwt import JWTVerifier

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "sign-in.md").read_text()
BLOCKS: dict[str, dict[str, Any]] = {
    (block := tomllib.loads(text))["issuers"][0]["name"]: block
    for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
}
NONCE = "n-0S6_WzA2Mj"
VECTORS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "tests" / "vectors" / "sign_in").glob("*.json")}


class Answering:
    """Be an endpoint that answers with a document."""

    def __init__(self, document: object) -> None:
        self.document = document

    async def ask(self, *_: object) -> tuple[int, bytes]:
        """Answer."""
        return 200, as_json(self.document)


def provider_of(name: str) -> CodeProvider:
    """Return the provider of a block, which has the keys of the tests."""
    found = providers_of(Settings(**BLOCKS[name]), SteppedClock())[name]
    assert isinstance(found, CodeProvider)
    if isinstance(found._id_tokens, JWTVerifier):
        found._id_tokens.replace_keys(keys_of_pem(public_pem("RS256"), ("RS256",)))
    return found


def answering(provider: CodeProvider, vector: dict[str, Any], **changes: Any) -> CodeProvider:
    """Have the provider answer with the vector's tokens and claims."""

    said = {"access_token": "opaque", "token_type": "Bearer"}
    if "id_token" in vector:
        said["id_token"] = signed(vector["id_token"] | changes, "RS256", key=private_key("RS256"), **vector["header"])
    provider._whereabouts = ConfiguredEndpoints(
        Endpoints(authorization="https://a", token="https://t", userinfo="https://u")
    )
    provider._asked = {"https://t": Answering(said), "https://u": Answering(vector.get("userinfo", {}))}  # type: ignore[dict-item]  # as far as it is asked
    return provider


async def redeemed(provider: CodeProvider) -> tuple[str, str, tuple[str, ...]]:
    """Return whom a code speaks of, and their roles."""
    said = await provider.redeem("c", redirect_uri="https://chat.example.com/cb", nonce=NONCE, verifier="v" * 43)
    return said.whom.issuer, said.whom.subject, said.whom.roles


def test_every_block_has_a_vector() -> None:
    """The first block is the two-minute one; the others are each a provider's."""
    assert set(BLOCKS) - {"sso"} == set(VECTORS)


@pytest.mark.parametrize("name", sorted(VECTORS))
async def test_the_documented_answer_signs_in(name: str) -> None:
    """Issuer, subject and roles are what the page says of that provider."""
    vector = VECTORS[name]
    found = await redeemed(answering(provider_of(name), vector))
    assert found == (vector["expected"]["issuer"], vector["expected"]["subject"], tuple(vector["expected"]["roles"]))


@pytest.mark.parametrize("name", sorted(name for name in VECTORS if "required_claims" in BLOCKS[name]["issuers"][0]))
async def test_another_tenants_does_not(name: str) -> None:
    """What the block requires is required of ID tokens."""
    for claim in BLOCKS[name]["issuers"][0]["required_claims"]:
        with pytest.raises(Refused, match="required_claims"):
            await redeemed(answering(provider_of(name), VECTORS[name], **{claim: "another"}))


@pytest.mark.parametrize("name", sorted(set(VECTORS) - {"google", "github"}))
async def test_an_id_token_opens_no_socket(name: str) -> None:
    """OA-11: the entry takes access tokens, and its ID tokens are none. (At Google they are what
    there is.)"""
    verifiers = verifiers_of(Settings(**BLOCKS[name]), SteppedClock())
    token = signed(VECTORS[name]["id_token"], "RS256", key=private_key("RS256"), **VECTORS[name]["header"])
    for verifier in verifiers:
        assert isinstance(verifier, JWTVerifier)
        verifier.replace_keys(keys_of_pem(public_pem("RS256"), ("RS256",)))
        with pytest.raises(Refused, match="audience"):
            await verifier.verify(Credentials("token", token, source="header"))
