"""What has been revoked, looked at on every handshake, renewal and cache hit; by id, never by token text.

It is filled from the feed. Rows commute: of two about the same the later end, or the larger number, counts, and of
what they say about a user each part for itself.
"""

from math import inf

import msgspec

from wsauth.core.feed import Row, UserState
from wsauth.core.identity import Identity, account_of, is_ours, token_issuer
from wsauth.errors import Refused

__all__ = ["Revocations"]

_PRUNE_FROM = 1024
_decode_pair = msgspec.json.Decoder(tuple[str, str]).decode


class Revocations:
    """Hold revocations, and what has changed about accounts, until nothing they concern can still be good."""

    def __init__(self) -> None:
        self._subjects: dict[tuple[str, str], tuple[float, float]] = {}
        self._sessions: dict[str, float] = {}
        self._tokens: dict[tuple[str, str], float] = {}
        self._users: dict[str, tuple[UserState, float]] = {}
        self._all = (-inf, 0, -inf)
        self._prune_at = _PRUNE_FROM
        self.empty = True

    def __len__(self) -> int:
        return len(self._subjects) + len(self._sessions) + len(self._tokens) + len(self._users)

    def apply(self, row: Row, now: float) -> None:
        """Take in a row of the feed; again is harmless, and rows about something else are passed over."""
        if row.keep_until <= now:
            return
        if row.kind == "session":
            self._sessions[row.key] = max(self._sessions.get(row.key, -inf), row.keep_until)
        elif row.kind == "token":
            pair = _decode_pair(row.key)
            self._tokens[pair] = max(self._tokens.get(pair, -inf), row.keep_until)
        elif row.kind == "subject":
            pair = _decode_pair(row.key)
            until, kept = self._subjects.get(pair, (-inf, -inf))
            self._subjects[pair] = (max(until, row.value["until"]), max(kept, row.keep_until))
        elif row.kind == "user":
            told, known = UserState.of(row), self._users.get(row.key)
            state, kept = (told, -inf) if known is None else (known[0].merged(told), known[1])
            self._users[row.key] = (state, max(kept, row.keep_until))
        elif row.kind == "all":
            until, epoch, kept = self._all
            self._all = (max(until, row.value["until"]), max(epoch, row.seq), max(kept, row.keep_until))
        else:
            return
        self.empty = False
        self._prune(now)

    def check(self, identity: Identity, issued_at: float | None) -> Refused | None:
        """Return why the identity's credential is dead, or `None`.

        Args:
            identity: as verified.
            issued_at: when its credential was made; `None` (nobody knows) counts as before any revocation.
        """
        if self.empty:
            return None
        if identity.session_id is not None and identity.session_id in self._sessions:
            return Refused("session_revoked", f"the session of {identity} was revoked")
        if identity.token_id is not None and (token_issuer(identity), identity.token_id) in self._tokens:
            return Refused("token_revoked", f"the token of {identity} was revoked")
        epoch = identity.claims.get("epoch") if is_ours(identity) else None
        if epoch is not None:
            if self._has_passed(identity, epoch):
                return Refused(revoked_code(identity), f"the logins of {identity} were ended")
            return None
        until = self._all[0]
        found = self._subjects.get(identity.key)
        if found is not None:
            until = max(until, found[0])
        if until > -inf and (issued_at is None or issued_at <= until):
            return Refused(revoked_code(identity), f"everything issued to {identity} until then was revoked")
        return None

    def overlay(self, identity: Identity) -> Identity:
        """Return the identity with the rights that its account has now.

        A token that was issued by hand keeps those it was given (`fixed`).
        """
        if not is_ours(identity) or "epoch" not in identity.claims or "fixed" in identity.claims:
            return identity
        known = self._users.get(account_of(*identity.key))
        if known is None:
            return identity
        state = known[0]
        if identity.roles == state.roles and identity.grants == state.grants:
            return identity
        return identity.replace(roles=state.roles, grants=state.grants)

    def _has_passed(self, identity: Identity, epoch: int) -> bool:
        if epoch < self._all[1]:
            return True
        known = self._users.get(account_of(*identity.key))
        if known is None or epoch >= known[0].epoch:
            return False
        carried = known[0].carried
        return carried is None or carried != identity.session_id

    def _prune(self, now: float) -> None:
        if len(self) < self._prune_at:
            return
        self._subjects = {key: entry for key, entry in self._subjects.items() if entry[1] > now}
        self._sessions = {key: kept for key, kept in self._sessions.items() if kept > now}
        self._tokens = {key: kept for key, kept in self._tokens.items() if kept > now}
        self._users = {key: entry for key, entry in self._users.items() if entry[1] > now}
        self._prune_at = max(_PRUNE_FROM, 2 * len(self))


def revoked_code(identity: Identity) -> str:
    """Return the code for a revoked identity: its session's, where it has one."""
    return "token_revoked" if identity.session_id is None else "session_revoked"
