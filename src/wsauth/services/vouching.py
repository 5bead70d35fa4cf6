"""Keep sessions honest that began at a provider: by its refresh token it is asked whether the login still stands."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
_TIME_LIMIT: Final = 15.0
"""Seconds that a question may take, with all that belongs to it."""
_PATIENCE: Final = _TIME_LIMIT + 5.0
"""Seconds for which whoever has taken a refresh token has it alone: a provider may end a login whose token comes twice
(RFC 9700 section 4.14)."""
_LOOKS: Final = 30
_BETWEEN: Final = 0.2
"""How often another process's answer is looked for, and the seconds between."""
_ENDING: Final = 3.0
"""Seconds that questions under way have when the process ends."""


class Vouching:
    """Ask providers about sessions.

    Args:
        providers: by their names.
        sessions: remembers what they said.
        end: ends a session of which a provider says no.
        key_file: wraps their refresh tokens.
        limits: of sessions.
        clock: tells the time.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        sessions: SessionStore,
        end: Callable[[str], Awaitable[object]],
        *,
        key_file: KeyFile,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self.providers = providers
        self._end = end
        self._sessions = sessions
        self._key_file = key_file
        self._limits = limits
        self._clock = clock
        self._asking: dict[str, asyncio.Task[Known]] = {}

    def wrapped(self, session_id: str, refresh_token: str) -> bytes:
        """Return the refresh token of a session as the store may keep it."""
        return self._key_file.wrap(_PURPOSE, session_id, refresh_token.encode())

    async def ensured(self, known: Known, ahead: float = 0.0) -> Known:
        """Return a session that its provider vouches for.

        Args:
            known: the session.
            ahead: for how many seconds more it has to; half a `recheck` at most, and less while nobody answers.

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
        if self._stands(known, provider, ahead):
            return known
        try:
            return await self._asked_once(known, provider, ahead)
        except Refused as error:
            if error.code != "unavailable" or not self._stands(known, provider, 0.0):
                raise
            return known

    async def aclose(self) -> None:
        """Ask no more; what was asked is waited for, since the answer brings the only token that is still good."""
        tasks = list(self._asking.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_ENDING)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for provider in self.providers.values():
            await provider.aclose()

    async def _asked_once(self, known: Known, provider: Provider, ahead: float) -> Known:
        session_id = known.session.id
        asking = self._asking.get(session_id)
        if asking is None:
            asking = self._asking[session_id] = asyncio.ensure_future(self._asked(known, provider, ahead))
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

    async def _asked(self, known: Known, provider: Provider, ahead: float) -> Known:
        for look in range(_LOOKS):
            if look:
                await asyncio.sleep(_BETWEEN)
            # In another process somebody may have asked, or be asking.
            known = await self._again(known)
            if self._stands(known, provider, ahead):
                return known
            began = self._clock.now()
            blob = await self._sessions.ask(known.session.id, began, _PATIENCE)
            if blob is not None:
                return await self._renewed(known, provider, blob, began)
        raise Refused("unavailable", "another process still waits for the provider's answer", retry_after=1)

    async def _renewed(self, known: Known, provider: Provider, blob: bytes, began: float) -> Known:
        """Ask with this refresh token, which nobody else has meanwhile; the next one is kept whatever happens."""
        session, kept = known.session, blob
        token = self._key_file.unwrap(_PURPOSE, session.id, blob).decode()

        def keep(following: str) -> None:
            nonlocal kept
            kept = self.wrapped(session.id, following)

        async def vouch(until: float, roles: Sequence[str] | None = None) -> bool:
            return await self._sessions.vouch(session, until, kept, roles, asked_at=began)

        try:
            async with asyncio.timeout(_TIME_LIMIT):
                said = await provider.renew(token, Identity(session.subject, issuer=session.issuer), keep)
        except Refused as error:
            if error.code == "session_revoked":
                await self._end(session.id)
            else:
                await vouch(session.vouched_until or began)
            raise
        except BaseException as error:
            await vouch(session.vouched_until or began)
            if isinstance(error, TimeoutError):
                raise Refused("unavailable", f"{provider.name} takes over {_TIME_LIMIT:g} s", retry_after=1) from None
            raise
        if not await vouch(self._clock.now() + provider.recheck, said.whom.roles if said.knows_roles else None):
            raise Refused("session_revoked", "the session ended while its provider was asked")
        return await self._again(known)

    def _stands(self, known: Known, provider: Provider, ahead: float) -> bool:
        """Tell whether the provider's last yes is enough."""
        until = known.session.vouched_until
        return until is None or until > self._clock.now() + min(ahead, provider.recheck / 2)

    async def _again(self, known: Known) -> Known:
        found = await self._sessions.find(known.session.id, self._limits, self._clock.now())
        if found is None:
            raise Refused("session_revoked", "the session has ended")
        return found
