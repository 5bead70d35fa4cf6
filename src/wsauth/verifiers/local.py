"""Judge the credentials that wsauth itself issues: access tokens, session cookies, API keys and passwords."""

from wsauth.core.cookies import PLAIN_COOKIE, SECURE_COOKIE
from wsauth.core.credentials import Credentials
from wsauth.core.identity import OWN_ISSUER, Identity
from wsauth.core.users import UNVOUCHED, User, demands
from wsauth.errors import Refused
from wsauth.interfaces.verifier import MustWait
from wsauth.services.sessions import Sessions, identity_of
from wsauth.services.tokens import AccessTokens
from wsauth.services.users import API_KEY_PREFIX, Users

__all__ = ["LocalVerifier"]


class LocalVerifier:
    """Judge what wsauth issued to its own users.

    Args:
        tokens: access tokens.
        sessions: cookies, and logins by password.
        users: API keys.
        secure: browsers reach us by https, so that the cookie is `__Host-wsauth`.
    """

    name = OWN_ISSUER

    def __init__(self, tokens: AccessTokens, sessions: Sessions, users: Users, *, secure: bool) -> None:
        self.cookie = SECURE_COOKIE if secure else PLAIN_COOKIE
        self._tokens = tokens
        self._sessions = sessions
        self._users = users

    def __repr__(self) -> str:
        return "LocalVerifier()"

    def recall(self, credentials: Credentials) -> Identity | None:
        """Return whose access token it is when it was found good a moment ago."""
        if credentials.cookie or credentials.secret.startswith(API_KEY_PREFIX):
            return None
        return self._tokens.recall(credentials.secret)

    def judge(self, credentials: Credentials) -> Identity | None:
        """Return whose access token it is.

        Raises:
            Refused: it is ours and bad.
            MustWait: it is something that the store knows.
        """
        if credentials.cookie or credentials.secret.startswith(API_KEY_PREFIX):
            raise MustWait
        return self._tokens.verify(credentials.secret)

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return whose they are, or `None` when wsauth did not issue them.

        Raises:
            Refused: they are ours and bad; or `csrf_failed`: a cookie came without the proof it needs.
        """
        if credentials.kind == "password":
            return await self._of_password(credentials)
        if credentials.cookie:
            return await self._of_cookie(credentials)
        if credentials.secret.startswith(API_KEY_PREFIX):
            return await self._of_key(credentials.secret)
        return self._tokens.verify(credentials.secret)

    async def _of_password(self, credentials: Credentials) -> Identity:
        name, password = credentials.username, credentials.secret
        address, device = credentials.address, credentials.device
        if not credentials.lasting:
            user = await self._sessions.authenticate(name, password, address=address, device=device)
            return _identity(user, "password")
        known = await self._sessions.login(name, password, "connection", address=address, device=device)
        return identity_of(known, self._sessions.limits)

    async def _of_cookie(self, credentials: Credentials) -> Identity | None:
        if credentials.cookie != self.cookie:
            return None
        silent = None
        try:
            known = await self._sessions.of_cookie(credentials.secret)
        except Refused as error:
            if error.code != "unavailable" or credentials.proof is None:
                raise
            # Whoever wants to log out may, also while their provider does not answer.
            known, silent = await self._sessions.of_cookie(credentials.secret, vouched=False), error.as_value()
        if known is None:
            raise Refused("credentials_invalid", "the session cookie is none of ours")
        if credentials.proof is not None and not self._sessions.is_csrf_token(known.session.id, credentials.proof):
            raise Refused("csrf_failed", "a cookie came with a change but without its X-CSRF-Token")
        identity = identity_of(known, self._sessions.limits)
        if silent is None:
            return identity
        ends_at = self._sessions.limits.ends_at(known.session)
        return identity.replace(expires_at=ends_at, claims={**identity.claims, UNVOUCHED: silent})

    async def _of_key(self, key: str) -> Identity:
        user = await self._users.of_key(key)
        if user is None:
            raise Refused("token_invalid", "it is no API key of ours, or its service is disabled")
        return _identity(user, "key")


def _identity(user: User, kind: str) -> Identity:
    """Return whom a credential without a session is."""
    return Identity(
        user.username,
        issuer=OWN_ISSUER,
        roles=user.roles,
        grants=user.grants,
        claims={"epoch": user.epoch, "kind": kind, **demands(user)},
    )
