"""Sign people in by the authorization code flow with PKCE (RFC 6749, RFC 7636, RFC 9700; OpenID Connect Core 1.0)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal

from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.core.sign_in import check_id_token, with_query
from wsauth.core.tokens.claims import check_required
from wsauth.core.tokens.envelope import open_envelope
from wsauth.core.tokens.rights import RoleMap, at, roles_in
from wsauth.core.tokens.strict_json import load_object
from wsauth.errors import Refused
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.provider import Said
from wsauth.interfaces.verifier import Verifier
from wsauth.providers.endpoints import Whereabouts
from wsauth.services.asking import Endpoint, client_authentication

__all__ = ["CodeProvider"]

_LONGEST_CODE: Final = 4096
_LONGEST_SUBJECT: Final = 255
"""Characters (OpenID Connect Core section 2)."""


class CodeProvider:
    """Be one provider.

    Args:
        name: its entry of `[[issuers]]`.
        issuer: the identities' issuer.
        whereabouts: says where it is reached.
        id_tokens: judges its ID tokens; `None`: it has none, and its userinfo says who somebody is (OAuth 2).
        client_id: ours.
        client_secret: ours; empty: we have none.
        client_auth: how both are sent.
        scopes: that are asked for.
        subject_claim: whose value is the subject.
        roles_claim: whose value is the roles.
        roles: theirs to ours.
        required_claims: what userinfo must say, where it says who somebody is; ID tokens are judged by `id_tokens`.
        recheck: seconds that one yes counts where there is a refresh token.
        clock: tells the time.
    """

    def __init__(
        self,
        *,
        name: str,
        issuer: str,
        whereabouts: Whereabouts,
        id_tokens: Verifier | None,
        client_id: str,
        client_secret: str,
        client_auth: Literal["basic", "post"],
        scopes: Sequence[str],
        subject_claim: str,
        roles_claim: str,
        roles: RoleMap,
        required_claims: Mapping[str, Any],
        recheck: float,
        clock: Clock,
    ) -> None:
        self.name = name
        self.recheck = recheck
        self._issuer = issuer
        self._whereabouts = whereabouts
        self._id_tokens = id_tokens
        self._client_id = client_id
        self._headers, self._form = client_authentication(client_auth, client_id, client_secret)
        self._scope = " ".join(scopes)
        self._subject_claim = subject_claim
        self._roles_claim = roles_claim
        self._roles = roles
        self._required = required_claims
        self._clock = clock
        self._asked: dict[str, Endpoint] = {}

    def __repr__(self) -> str:
        return f"CodeProvider({self.name!r})"

    async def authorization_url(
        self, *, redirect_uri: str, state: str, nonce: str, challenge: str, step_up: Mapping[str, str]
    ) -> str:
        """Return where the browser has to go.

        Args:
            redirect_uri: where it comes back to.
            state: of the way there.
            nonce: the same.
            challenge: the same.
            step_up: `max_age` and `acr_values`, where the login has to be recent or strong.

        Raises:
            Refused: `unavailable`.
        """
        endpoints = await self._whereabouts.endpoints()
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **step_up,
        }
        if self._scope:
            asked["scope"] = self._scope
        if self._id_tokens is not None:
            asked["nonce"] = nonce
        if "offline_access" in self._scope.split():
            asked["prompt"] = "consent"  # OpenID Connect Core section 11: without it there is no such token
        return with_query(endpoints.authorization, **asked)

    async def issuer_of_answers(self) -> tuple[str | None, bool]:
        """Return who an authorization response must name, and whether it must name anybody (RFC 9207)."""
        if self._id_tokens is None:
            return None, False
        return self._issuer, (await self._whereabouts.endpoints()).names_itself

    async def redeem(self, code: str, *, redirect_uri: str, nonce: str, verifier: str) -> Said:
        """Return whom a code speaks of.

        Raises:
            Refused: `token_invalid`: of nobody; or `unavailable`.
        """
        if len(code) > _LONGEST_CODE:
            raise Refused("token_invalid", "the code is too long")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        answer = await self._tokens(form, "token_invalid")
        said = await (self._by_userinfo(answer) if self._id_tokens is None else self._identified(answer, nonce))
        if len(said.whom.subject) > _LONGEST_SUBJECT:
            raise Refused("token_invalid", f"{self.name}: a subject of over {_LONGEST_SUBJECT} characters")
        return said

    async def renew(self, refresh_token: str, whom: Identity, keep: Callable[[str], None]) -> Said:
        """Ask whether a login still stands.

        Args:
            refresh_token: as the provider gave it.
            whom: of whom it has to speak.
            keep: takes the next refresh token as soon as there is one, whatever becomes of the rest.

        Raises:
            Refused: `session_revoked`: it does not; or `unavailable`: nobody says.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = await self._tokens(form, "session_revoked")
        if following := _refresh_token(answer):
            keep(following)
        try:
            said = await self._renewed(answer, whom)
        except Refused as error:
            if error.code == "unavailable":
                raise
            raise Refused("session_revoked", error.reason) from None
        if said.whom.key != whom.key:
            raise Refused("session_revoked", f"{self.name} speaks of somebody else than {whom}")
        return said

    async def logout_url(self, return_to: str) -> str | None:
        """Return where the browser may log out of the provider too, or `None`."""
        url = (await self._whereabouts.endpoints()).end_session
        # No ID token as a hint: a URL is read by many.
        return with_query(url, client_id=self._client_id, post_logout_redirect_uri=return_to) if url else None

    async def aclose(self) -> None:
        """Ask no more."""
        await self._whereabouts.aclose()
        for endpoint in self._asked.values():
            await endpoint.aclose()
        close: Callable[[], Awaitable[None]] | None = getattr(self._id_tokens, "aclose", None)
        if close is not None:
            await close()

    def _endpoint(self, url: str) -> Endpoint:
        if url not in self._asked:
            self._asked[url] = Endpoint(url, self._clock)
        return self._asked[url]

    async def _tokens(self, form: Mapping[str, str], code: str) -> Mapping[str, Any]:
        """Return the answer of the token endpoint (RFC 6749 section 5).

        Args:
            form: what is asked.
            code: what a grant that is not good means.

        Raises:
            Refused: that, or `unavailable`.
        """
        endpoint = self._endpoint((await self._whereabouts.endpoints()).token)
        status, body = await endpoint.ask("POST", self._headers, {**form, **self._form})
        try:
            answer = load_object(body)
        except ValueError as unread:
            raise endpoint.unusable(f"status {status}, {unread}") from None
        error = answer.get("error")
        if error in ("invalid_grant", "bad_verification_code", "bad_refresh_token"):
            raise Refused(code, f"{self.name} takes the grant no more")
        if status != HTTPStatus.OK or error is not None:
            named = error if error in _MISTAKES else "an error"
            raise endpoint.unusable(f"status {status}, {named}{_HINTS.get(str(named), '')}")
        return answer

    async def _identified(self, answer: Mapping[str, Any], nonce: str | None) -> Said:
        """Return what the ID token of an answer says; its roles may stand in the userinfo only."""
        access_token = _access_token(answer)
        identity = await self._identity(answer.get("id_token"), nonce, access_token)
        claims = identity.claims
        if self._roles and at(claims, self._roles_claim) is None:
            claims = await self._claims(access_token, claims.get("sub")) or claims
        session_id, acr = identity.claims.get("sid"), identity.claims.get("acr")
        return Said(
            whom=identity.replace(roles=roles_in(claims, self._roles_claim, self._roles)),
            knows_roles=True,
            session_id=session_id if isinstance(session_id, str) and session_id else None,
            issued_at=float(identity.claims["iat"]),
            auth_time=identity.auth_time,
            acr=acr if isinstance(acr, str) else "",
            refresh_token=_refresh_token(answer),
        )

    async def _by_userinfo(self, answer: Mapping[str, Any]) -> Said:
        """Return what the userinfo endpoint says, where that is all there is."""
        claims = await self._claims(_access_token(answer), None) or {}
        check_required(claims, self._required)
        subject = self._subject_in(claims)
        if not subject:
            raise Refused("token_invalid", f"{self.name} does not say who it is: no {self._subject_claim} in userinfo")
        return self._told(Identity(subject, issuer=self._issuer), claims, answer)

    async def _renewed(self, answer: Mapping[str, Any], whom: Identity) -> Said:
        """Return what an answer says of a login, which may be nothing (OpenID Connect Core section 12.2)."""
        if self._id_tokens is None:
            return await self._by_userinfo(answer)
        if answer.get("id_token") is not None:
            return await self._identified(answer, None)
        claims = await self._claims(_access_token(answer), None) or {}
        subject = self._subject_in(claims)
        return self._told(Identity(subject, issuer=self._issuer) if subject else whom, claims, answer)

    def _told(self, whom: Identity, claims: Mapping[str, Any], answer: Mapping[str, Any]) -> Said:
        return Said(
            whom=whom.replace(roles=roles_in(claims, self._roles_claim, self._roles)),
            knows_roles=self._id_tokens is None or at(claims, self._roles_claim) is not None,
            session_id=None,
            issued_at=self._clock.now(),
            refresh_token=_refresh_token(answer),
        )

    def _subject_in(self, claims: Mapping[str, Any]) -> str:
        """Return the subject that userinfo names; empty where it names none. An integer is written in decimal."""
        subject = at(claims, self._subject_claim)
        return str(subject) if type(subject) is int else subject if isinstance(subject, str) else ""

    async def _identity(self, id_token: object, nonce: str | None, access_token: str | None) -> Identity:
        if not isinstance(id_token, str) or self._id_tokens is None:
            raise Refused("token_invalid", f'{self.name} answered without an ID token: is "openid" in scopes?')
        try:
            identity = await self._id_tokens.verify(Credentials("token", id_token, source="message"))
        except Refused as error:
            raise error if error.code == "unavailable" else Refused("token_invalid", error.reason) from None
        envelope = open_envelope(id_token)
        if identity is None or envelope is None:
            raise Refused("token_invalid", f"{self.name} answered with an ID token of another issuer")
        check_id_token(
            identity.claims,
            client_id=self._client_id,
            nonce=nonce,
            access_token=access_token,
            algorithm=envelope.algorithm,
        )
        return identity

    async def _claims(self, access_token: str | None, subject: object) -> Mapping[str, Any] | None:
        """Return what the userinfo endpoint says (OpenID Connect Core section 5.3); `None` where there is none.

        Raises:
            Refused: `token_invalid`: of nobody, or of another one; or `unavailable`.
        """
        url = (await self._whereabouts.endpoints()).userinfo
        if not url or access_token is None:
            return None
        endpoint = self._endpoint(url)
        status, body = await endpoint.ask("GET", {"Authorization": f"Bearer {access_token}"})
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise Refused("token_invalid", f"{self.name} does not say whose its access token is")
        if status != HTTPStatus.OK:
            raise endpoint.unusable(f"status {status}")
        try:
            claims = load_object(body)
        except ValueError as error:
            raise endpoint.unusable(str(error)) from None
        if subject is not None and claims.get("sub") != subject:
            raise Refused("token_invalid", f"{self.name} answered with the claims of somebody else")
        return claims


def _access_token(answer: Mapping[str, Any]) -> str | None:
    found = answer.get("access_token")
    return found if isinstance(found, str) else None


def _refresh_token(answer: Mapping[str, Any]) -> str | None:
    found = answer.get("refresh_token")
    return found if isinstance(found, str) and found else None


_MISTAKES: Final = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "incorrect_client_credentials",
        "redirect_uri_mismatch",
    }
)
_HINTS: Final = {
    "invalid_client": ": it does not take client_id and client_secret, or not by this client_auth",
    "incorrect_client_credentials": ": it does not take client_id and client_secret",
    "redirect_uri_mismatch": ": our callback must be registered there",
    "unauthorized_client": ": this client may not sign people in by a code",
}
