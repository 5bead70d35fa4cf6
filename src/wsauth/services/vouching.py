"""Keep sessions honest that began at a provider: by its refresh token it is asked whether the login still stands."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from wsauth.core.identity import Identity
from wsauth.core.sessions import Limits
from wsauth.errors import Refused
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.provider import Provider
from wsauth.interfaces.sessions import Known, SessionStore
from wsauth.services.keyfile import KeyFile

__all__ = ["Vouching"]

_PURPOSE: Final = "refresh tokens of providers"
_PATIENCE: Final = 10.0
"""Seconds for which whoever has taken a refresh token has it alone: a provider may end a login whose token comes twice
(RFC 9700 section 4.14)."""
_LOOKS: Final = 30
_BETWEEN: Final = 0.2
"""How often another process's answer is looked for, and the seconds between."""


class Vouching:
    """Ask providers about sessions.

    Args:
        providers: by their names.
        sessions: remembers what they said.
        key_file: wraps their refresh tokens.
        limits: of sessions.
        clock: tells the time.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        sessions: SessionStore,
        *,
        key_file: KeyFile,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self.providers = providers
        self.end: Callable[[str], Awaitable[object]] = sessions.end
        self._sessions = sessions
        self._key_file = key_file
        self._limits = limits
        self._clock = clock
        self._asking: dict[str, asyncio.Task[Known]] = {}

    def wrapped(self, session_id: str, refresh_token: str) -> bytes:
        """Return the refresh token of a session as the store may keep it."""
        return self._key_file.wrap(_PURPOSE, session_id, refresh_token.encode())

    async def ensured(self, known: Known, until: float) -> Known:
        """Return a session that its provider vouches for beyond then; for a shorter time while nobody answers.

        Args:
            known: the session.
            until: seconds since the epoch.

        Raises:
            Refused: `session_revoked`: the provider says no, or is configured no more; or `unavailable`: it does not
                answer, and its last yes counts no longer.
        """
        session = known.session
        if not session.provider:
            return known
        provider = self.providers.get(session.provider)
        if provider is None:
            raise Refused("session_revoked", f"the session began at {session.provider}, which is configured no more")
        if session.vouched_until is None or session.vouched_until > until:
            return known
        try:
            return await self._asked_once(known, provider)
        except Refused as error:
            if error.code != "unavailable" or session.vouched_until <= self._clock.now():
                raise
            return known

    async def aclose(self) -> None:
        """Ask no more."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for provider in self.providers.values():
            await provider.aclose()

    async def _asked_once(self, known: Known, provider: Provider) -> Known:
        session_id = known.session.id
        asking = self._asking.get(session_id)
        if asking is None:
            asking = self._asking[session_id] = asyncio.ensure_future(self._asked(known, provider))
            asking.add_done_callback(lambda done: self._answered(session_id, done))
        # Whoever gives up must not take the answer away: with it comes the only refresh token that is still good.
        await asyncio.wait([asking])
        if asking.cancelled():
            raise Refused("unavailable", "we are ending", retry_after=1)
        return asking.result()

    def _answered(self, session_id: str, task: "asyncio.Task[Known]") -> None:
        del self._asking[session_id]
        if not task.cancelled():
            task.exception()  # looked at, also where everybody who asked has left

    async def _asked(self, known: Known, provider: Provider) -> Known:
        session = known.session
        found = await self._again(known)
        if found.session.vouched_until != session.vouched_until:  # another process has asked
            return found
        blob = await self._sessions.ask(session.id, self._clock.now(), _PATIENCE)
        if blob is None:
            return await self._answer_of_another(known)
        token = self._key_file.unwrap(_PURPOSE, session.id, blob).decode()
        try:
            said = await provider.renew(token, Identity(session.subject, issuer=session.issuer))
        except Refused as error:
            if error.code == "session_revoked":
                await self.end(session.id)
            elif session.vouched_until is not None:
                await self._sessions.vouch(session, session.vouched_until, blob, None)
            raise
        until = self._clock.now() + provider.recheck
        next_token = self.wrapped(session.id, said.refresh_token or token)
        roles = said.whom.roles if said.knows_roles else None
        if not await self._sessions.vouch(session, until, next_token, roles):
            raise Refused("session_revoked", "the session ended while its provider was asked")
        return await self._again(known)

    async def _answer_of_another(self, known: Known) -> Known:
        """Wait for what another process is told."""
        for _ in range(_LOOKS):
            found = await self._again(known)
            if found.session.vouched_until != known.session.vouched_until:
                return found
            await asyncio.sleep(_BETWEEN)
        raise Refused("unavailable", "another process waits for the provider's answer", retry_after=_PATIENCE)

    async def _again(self, known: Known) -> Known:
        found = await self._sessions.find(known.session.id, self._limits, self._clock.now())
        if found is None:
            raise Refused("session_revoked", "the session has ended")
        return found
