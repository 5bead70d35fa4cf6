"""What has been revoked, looked at on every handshake, renewal and cache hit; by id, never by token text."""

from math import inf

from wsauth.core.identity import Identity
from wsauth.errors import Refused

__all__ = ["Revocations"]

_PRUNE_FROM = 1024


class Revocations:
    """Hold revocations until nothing they concern can still be good. Adding one twice changes nothing."""

    def __init__(self) -> None:
        self._subjects: dict[tuple[str, str], tuple[float, float]] = {}
        self._sessions: dict[str, float] = {}
        self._tokens: dict[tuple[str, str], float] = {}
        self._prune_at = _PRUNE_FROM

    def __len__(self) -> int:
        return len(self._subjects) + len(self._sessions) + len(self._tokens)

    def add_subject(self, issuer: str, subject: str, until: float, keep_until: float, now: float) -> None:
        """Revoke what was issued to an identity at or before `until` (seconds since the epoch)."""
        before, kept = self._subjects.get((issuer, subject), (-inf, -inf))
        self._subjects[issuer, subject] = (max(before, until), max(kept, keep_until))
        self._prune(now)

    def add_session(self, session_id: str, keep_until: float, now: float) -> None:
        """Revoke a session and all that came from it."""
        self._sessions[session_id] = max(self._sessions.get(session_id, -inf), keep_until)
        self._prune(now)

    def add_token(self, issuer: str, token_id: str, keep_until: float, now: float) -> None:
        """Revoke one token by its `jti`."""
        self._tokens[issuer, token_id] = max(self._tokens.get((issuer, token_id), -inf), keep_until)
        self._prune(now)

    def check(self, identity: Identity, issued_at: float | None) -> Refused | None:
        """Return why the identity's credential is dead, or `None`.

        Args:
            identity: as verified.
            issued_at: when its credential was made; `None` (nobody knows) counts as before any revocation.
        """
        if identity.session_id is not None and identity.session_id in self._sessions:
            return Refused("session_revoked", f"the session of {identity} was revoked")
        if identity.token_id is not None and (identity.issuer, identity.token_id) in self._tokens:
            return Refused("token_revoked", f"the token of {identity} was revoked")
        if self._subjects:
            found = self._subjects.get(identity.key)
            if found is not None and (issued_at is None or issued_at <= found[0]):
                return Refused(revoked_code(identity), f"everything issued to {identity} until then was revoked")
        return None

    def _prune(self, now: float) -> None:
        if len(self) < self._prune_at:
            return
        self._subjects = {key: entry for key, entry in self._subjects.items() if entry[1] > now}
        self._sessions = {key: kept for key, kept in self._sessions.items() if kept > now}
        self._tokens = {key: kept for key, kept in self._tokens.items() if kept > now}
        self._prune_at = max(_PRUNE_FROM, 2 * len(self))


def revoked_code(identity: Identity) -> str:
    """Return the code for a revoked identity: its session's, where it has one."""
    return "token_revoked" if identity.session_id is None else "session_revoked"
