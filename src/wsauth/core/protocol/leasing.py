"""The lease of a connection: granted, renewed, extended, its rights changed, ended."""

import msgspec

from wsauth.core import events
from wsauth.core.credentials import Credentials
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.lease import Lease, grant, is_unchanged, is_weaker, warn_at
from wsauth.core.permissions import Permissions
from wsauth.core.protocol import commands, control
from wsauth.core.protocol.ground import Ground
from wsauth.core.protocol.states import LEASE, ConnectionEvent, LeaseEvent, State
from wsauth.core.refusals import Refusal
from wsauth.errors import PermissionDenied, ProtocolError, Refused

__all__ = ["Leasing"]

_RECONNECT_SPREAD = 4.0
"""Seconds over which those come back whose rights have changed together."""
_GRANTED = (State.CONNECTING, State.OPEN, State.STALE)


class Leasing(Ground):
    """Decide what becomes of a lease."""

    __slots__ = ()

    # Its beginning.

    def introduce(self) -> Lease:
        """Return the lease, of which what is behind is told at this moment, and only at this one.

        A host that tells nothing need not call it: then the lease that was granted counts as told.
        """
        self._told = self._held_lease()
        return self._told

    def _open_for(self, identity: Identity, credentials: Credentials | None, now: float) -> None:
        self._told = self._lease_for(identity, credentials, now)
        self._put(self._told, LeaseEvent.GRANT)
        self.source = credentials.source if credentials else ""
        self.speaks = self.speaks or self.accepted
        self._attempts_left = self.policy.auth_attempts
        self._move(ConnectionEvent.GRANT)
        self._out.append(commands.Connect())

    def _open_for_nobody(self, now: float) -> None:
        try:
            self._open_for(NOBODY, None, now)
        except Refused as error:
            self._end(Refusal.of(error, self._new_id()), now)

    def _lease_for(self, identity: Identity, credentials: Credentials | None, now: float) -> Lease:
        permissions = self._roles.resolve(identity)
        self._check_required(identity, permissions)
        lease = grant(identity, permissions, credentials, self.policy, now=now, opened_at=self.opened_at)
        if lease.ends_at <= now:
            raise Refused("token_expired", f"the credentials of {identity} have ended")
        return lease

    def _check_required(self, identity: Identity, permissions: Permissions) -> None:
        for name in self.policy.require:
            if not permissions.allow(name):
                raise PermissionDenied(name, f"{identity} lacks {name!r}, which {self.policy.path} requires")

    # Renewals.

    def _ask_waiting(self, now: float) -> None:
        verify = self._question.ask_waiting(now)
        if verify is not None:
            self._out.append(verify)

    def _answer_renewal(self, asked: Credentials, outcome: Identity | Refused, now: float) -> None:
        error = outcome if isinstance(outcome, Refused) else self._renewed(outcome, asked, now)
        if isinstance(error, PermissionDenied):
            self._end(Refusal.of(error, self._new_id()), now, asked)
        elif error is not None:
            self._spend(events.RenewalRefused, error, asked, now)
        self._late = self._late and self._question.unanswered
        if self.state is State.STALE and now >= self._stale_until():
            self._end(self._expiry(), now)
        elif self.state in (State.OPEN, State.STALE):
            self._ask_waiting(now)

    def _renewed(self, identity: Identity, asked: Credentials, now: float) -> Refused | None:
        """Renew the lease, or return why not."""
        try:
            self._renew(identity, asked, now)
        except Refused as error:
            return error.as_value()
        return None

    def _renew(self, identity: Identity, credentials: Credentials, now: float) -> None:
        old = self._held_lease()
        if old.identity is not NOBODY:
            if identity.key != old.identity.key:
                raise Refused("identity_mismatch", f"the connection is {old.identity}'s, not {identity}'s")
            if is_weaker(identity, old.identity):
                raise Refused("step_up_required", f"the new credential of {identity} proves less than the last")
        unchanged = is_unchanged(identity, credentials, old)
        if unchanged and self.state is State.STALE:
            raise Refused("token_expired", f"an older credential of {identity} cannot revive the lease")
        if not unchanged:
            lease = self._lease_for(identity, credentials, now)
            if lost := self._lost(lease):
                self._put(lease, LeaseEvent.REPLACE)
                self._have_reconnect(lost, now)
                return
            self._replace(lease, old, now)
        self._question.succeeded(now)
        self._attempts_left = self.policy.auth_attempts
        self._out.append(commands.Send(control.success(self._held_lease(), now, self._draw())))

    def _replace(self, lease: Lease, old: Lease, now: float) -> None:
        self._prolong(lease, LeaseEvent.REPLACE, now)
        if lease.permissions != old.permissions:
            self._tell_rights(lease, old, now)

    def _prolong(self, lease: Lease, event: LeaseEvent, now: float) -> None:
        """Put a lease with a new end in the place of the old one; a stale connection lives again."""
        was_stale = self.state is State.STALE
        self._put(lease, event)
        self._move(ConnectionEvent.RENEW)
        self._warned = False
        self._expired = None
        if was_stale:
            self._stirred_at = now
            self._out.append(commands.Pause("upstream", False))
            if not self.speaks:
                self._out.append(commands.Pause("client", False))
        expires_at = lease.ends_at if lease.ends else None
        renewed = events.Renewed(at=now, about=self.about, identity=lease.identity, expires_at=expires_at)
        self._out.append(commands.Tell(renewed))

    # From elsewhere.

    def _extend(self, ends_at: float, now: float) -> None:
        lease = self.lease
        if lease is None or self.state not in _GRANTED:
            return
        ends_at = min(ends_at, self.opened_at + self.policy.max_connection_age)
        if ends_at <= max(lease.ends_at, now):
            return
        longer = msgspec.structs.replace(lease, granted_at=now, ends_at=ends_at)
        if self.state is State.CONNECTING:
            self._put(longer, LeaseEvent.EXTEND)
            return
        self._prolong(longer, LeaseEvent.EXTEND, now)
        if self.speaks:
            self._out.append(commands.Send(control.success(longer, now, self._draw())))

    def _recheck(self, identity: Identity, now: float) -> None:
        self._change_rights(identity, now)
        lease, ends_at = self.lease, identity.expires_at
        if lease is None or self.state not in _GRANTED or ends_at is None:
            return
        if ends_at >= lease.ends_at:
            self._extend(ends_at, now)
            return
        self._put(msgspec.structs.replace(lease, granted_at=now, ends_at=ends_at), LeaseEvent.CHANGE)
        self._warned = False
        if self.speaks and self.state is State.OPEN:
            self._out.append(commands.Send(control.success(self._held_lease(), now, self._draw())))

    def _change_rights(self, identity: Identity, now: float) -> None:
        old = self.lease
        if old is None or self.state not in _GRANTED:
            return
        if identity.key != old.identity.key:
            raise ProtocolError(f"the rights of {identity} cannot become those of {old.identity}")
        permissions = self._roles.resolve(identity)
        # Also when the connection ends: its application goes on asking what it may do.
        lease = msgspec.structs.replace(old, identity=identity, permissions=permissions)
        self._put(lease, LeaseEvent.CHANGE)
        try:
            self._check_required(identity, permissions)
        except PermissionDenied as error:
            self._end(Refusal.of(error, self._new_id()), now)
            return
        if lost := self._lost(lease):
            self._have_reconnect(lost, now)
            return
        same = permissions == old.permissions and set(identity.roles) == set(old.identity.roles)
        if same or self.state is State.CONNECTING:
            return
        self._tell_rights(lease, old, now)
        if self.speaks:
            self._out.append(commands.Send(control.changed(lease)))

    def _lost(self, lease: Lease) -> list[str]:
        """Return the roles and permissions that what is behind was told of and cannot be told to be gone.

        What nobody in particular had, everybody may come back for.
        """
        told = self._told
        if told is None or told.identity is NOBODY or self.policy.on_rights_change == "keep":
            return []
        permissions = set(told.permissions.names) - set(lease.permissions.names)
        return sorted(permissions | (set(told.identity.roles) - set(lease.identity.roles)))

    def _have_reconnect(self, lost: list[str], now: float) -> None:
        """Close, so that what is behind is told of the rights that are left (CONTRACT section 8)."""
        why = f"{self._identity()} has no longer what the upstream was told of: {', '.join(lost)}"
        spread = 1.0 + _RECONNECT_SPREAD * self._draw()
        error = Refused("rights_changed", why, mend="on_rights_change", retry_after=spread)
        self._end(Refusal.of(error, self._new_id()), now)

    def _tell_rights(self, lease: Lease, old: Lease, now: float) -> None:
        has, had = set(lease.permissions.names), set(old.permissions.names)
        gained, lost = tuple(sorted(has - had)), tuple(sorted(had - has))
        rights = events.RightsChanged(at=now, about=self.about, identity=lease.identity, gained=gained, lost=lost)
        self._out.append(commands.Tell(rights))

    # The end of a lease.

    def _wake_open(self, now: float) -> None:
        lease = self._held_lease()
        if now >= lease.ends_at:
            self._expire(now)
        elif now >= self._stirred_at + self.policy.idle_timeout:
            self._refuse("idle_timeout", "nothing was said for too long", now, mend="idle_timeout")
        elif self._must_warn() and now >= warn_at(lease):
            self._warned = True
            self._out.append(commands.Send(control.expiring(lease.ends_at - now)))

    def _must_warn(self) -> bool:
        if self._warned or not self.speaks or self._question.unanswered:
            return False
        return self._held_lease().ends

    def _expire(self, now: float) -> None:
        self._late = self._question.unanswered
        self._lease_state = LEASE[self._lease_state, LeaseEvent.EXPIRE]
        self._move(ConnectionEvent.EXPIRE)
        self._out.append(commands.Tell(events.Expired(at=now, about=self.about, identity=self._identity())))
        if now >= self._stale_until():
            self._end(self._expiry(), now)
            return
        self._out.append(commands.Pause("upstream", True))
        if self.speaks:
            self._out.append(commands.Send(control.error(self._expiry(), closing=False)))
        else:
            self._out.append(commands.Pause("client", True))

    def _stale_until(self) -> float:
        grace = max(self.policy.grace, self.policy.auth_timeout) if self._late else self.policy.grace
        return min(self._held_lease().ends_at + grace, self.opened_at + self.policy.max_connection_age)

    def _expiry(self) -> Refusal:
        if self._expired is None:
            mend = "max_connection_age" if self._stale_until() == self._held_lease().ends_at else ""
            self._expired = Refusal("token_expired", self._new_id(), reason="the lease ended", mend=mend)
        return self._expired
