"""Find out whose credentials are presented."""

import logging
import traceback
from collections.abc import Awaitable, Sequence
from itertools import takewhile

from wsauth.core.credentials import Credentials, Kind
from wsauth.core.identity import Identity
from wsauth.errors import Refused
from wsauth.interfaces.tickets import Tickets
from wsauth.interfaces.verifier import Prompt, Recalling, Rechecking, Verifier

__all__ = ["Authentication"]

_log = logging.getLogger("wsauth")
_UNKNOWN = {
    "token": "token_invalid",
    "ticket": "ticket_invalid",
    "password": "credentials_invalid",
    "certificate": "credentials_invalid",
}


class Authentication:
    """Ask the verifiers, in order, and redeem tickets.

    Args:
        verifiers: who says whether credentials are good.
        tickets: redeems them.

    Attributes:
        overriding: in a test, who everybody is (`Guard.override`); else `None`.
    """

    def __init__(self, verifiers: Sequence[Verifier], tickets: Tickets) -> None:
        self._verifiers = list(verifiers)
        # Those who come before anybody who has to be awaited; whether these are all.
        prompt = takewhile(lambda verifier: isinstance(verifier, Prompt), verifiers)
        self._prompt = [verifier for verifier in prompt if isinstance(verifier, Prompt)]
        self._all_prompt = len(self._prompt) == len(self._verifiers)
        self._recalling = [verifier for verifier in verifiers if isinstance(verifier, Recalling)]
        self._tickets = tickets
        self.overriding: Identity | None = None

    def recall(self, credentials: Credentials) -> Identity | None:
        """Return whose token it is when one of the verifiers remembers it; revocations are not looked at here."""
        if self.overriding is not None:
            return self.overriding
        if credentials.kind == "token":
            for verifier in self._recalling:
                identity = verifier.recall(credentials)
                if identity is not None:
                    return identity
        return None

    def judge(self, credentials: Credentials) -> Identity | Refused | None:
        """Return the verdict on a token where nobody has to be waited for, else `None`; as `verify` would say it."""
        known = self.recall(credentials)
        if known is not None or credentials.kind != "token" or credentials.cookie:
            return known
        try:
            for verifier in self._prompt:
                identity = verifier.judge(credentials)
                if identity is not None:
                    return identity
        except Refused as error:
            return error.as_value()
        except Exception:  # noqa: BLE001  `verify` finds out what is wrong, and says it
            return None
        return _nobodys("token") if self._all_prompt else None

    async def verify(self, credentials: Credentials, path: str, origin: str) -> Identity:
        """Return whose credentials they are.

        Raises:
            Refused: they are bad, nobody's, or could not be judged (`unavailable`).
        """
        if credentials.kind == "ticket":
            return await self._tickets.redeem(credentials.secret, path, origin)
        silent: Refused | None = None
        for verifier in self._verifiers:
            if credentials.cookie and getattr(verifier, "cookie", "") != credentials.cookie:
                continue
            try:
                identity = await self._answer(verifier, verifier.verify(credentials))
            except Refused as error:
                if error.code != "unavailable" or not isinstance(verifier, Rechecking):
                    raise
                silent = silent or error.as_value()  # somebody else may know it
                continue
            if identity is not None:
                if isinstance(verifier, Rechecking):
                    credentials.rechecking = verifier
                return identity
        raise silent or _nobodys(credentials.kind)

    async def recheck(self, credentials: Credentials) -> Identity:
        """Return whose credentials they are now, that their verifier took before.

        Raises:
            Refused: they are good no more, or nobody says so (`unavailable`).
        """
        verifier: Rechecking = credentials.rechecking
        identity = await self._answer(verifier, verifier.recheck(credentials))
        if identity is None:
            raise Refused("token_revoked", f"{type(verifier).__name__} takes it no more")
        return identity

    async def _answer(self, verifier: Verifier | Rechecking, answering: Awaitable[object]) -> Identity | None:
        name = type(verifier).__name__
        try:
            identity = await answering
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001  a verifier is anybody's code, and its failure lets nobody in
            _log.error("%s failed with %s at %s, so nobody gets in by it", name, type(error).__name__, _where(error))
            raise Refused("unavailable", f"{name} failed with {type(error).__name__}", retry_after=1) from None
        if identity is None or isinstance(identity, Identity):
            return identity
        _log.error("%s answered %s, which is neither an Identity nor None", name, type(identity).__name__)
        raise Refused("unavailable", f"{name} answered {type(identity).__name__}", retry_after=1)


def _nobodys(kind: Kind) -> Refused:
    return Refused(_UNKNOWN[kind], f"no verifier takes this {kind}")


def _where(error: Exception) -> str:
    """Return file and line of a failure; its text may hold what was presented."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"
