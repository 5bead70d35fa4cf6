"""The feed: everything that all processes must know, as rows. Applying a row twice changes nothing.

Rows commute: a process needs all of them and needs them in no order. A row is written in the transaction of its cause,
and nobody forgets it before `keep_until`. The number of a row that ends all logins of a user is their new epoch.
"""

from typing import Any, Final, Literal

import msgspec

__all__ = ["KEPT", "NewRow", "Row", "RowKind", "UserState", "pair_key"]

KEPT: Final = 86_400.0
"""Seconds that a row is kept at least: no credential of ours that it is about lives longer."""

RowKind = Literal["session", "token", "subject", "user", "all", "keys", "blocks", "disconnect", "list"]
"""
`session`: a session has ended; key: its id.
`token`: key: the issuer and the token's id, as JSON.
`subject`: everything issued to an identity until `until`; key: issuer and subject, as JSON.
`user`: an account has changed; key: its name; value: a `UserState` without `version`, and of another issuer's subject
    `issuer` and `subject`.
`all`: everything issued until `until`, and every epoch before the row's number.
`keys`: the signing keys have changed.
`blocks`: who is blocked has changed.
`disconnect`: connections are to close; value: `subject` and `issuer`, `session_id` or `connection_id`; `retry_after`.
`list`: every process is asked for its open connections; value: `after`, `limit`, and `subject` and `issuer` or neither.
"""


class NewRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be a row before it has a number.

    Attributes:
        kind: what it is about.
        key: whom or what exactly.
        value: the rest; JSON.
        keep_until: seconds since the epoch.
        order: the revocation or disconnection that it belongs to, which processes answer; or `None`.
    """

    kind: RowKind
    key: str = ""
    value: dict[str, Any] = {}
    keep_until: float
    order: str | None = None


class Row(NewRow, frozen=True, kw_only=True):
    """Be a row as it was committed.

    Attributes:
        seq: its number; a larger one was given later.
        at: when it was written, in seconds since the epoch.
    """

    seq: int
    at: float


class UserState(msgspec.Struct, frozen=True, kw_only=True):
    """Be what processes know of a user who has changed lately.

    Attributes:
        version: the number of the row; the largest counts.
        epoch: credentials of an earlier one are dead.
        carried: the session that the change leaves alive, whatever its epoch; or `None`.
        roles: those of now.
        grants: those of now.
    """

    version: int
    epoch: int
    carried: str | None = None
    roles: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Row) -> "UserState":
        """Read a `user` row; without an `epoch` in its value it ends all logins, and its number is the new one."""
        value = row.value
        return cls(
            version=row.seq,
            epoch=value.get("epoch", row.seq),
            carried=value.get("carried"),
            roles=tuple(value.get("roles", ())),
            grants=tuple(value.get("grants", ())),
        )

    def merged(self, other: "UserState") -> "UserState":
        """Return what both say together: the rights of the later, and the later end of logins with whom it spared.

        A row that only changes rights names the epoch that holds, but not the session that its beginning spared.
        """
        rights = max(self, other, key=lambda state: state.version)
        ended = max(self, other, key=lambda state: (state.epoch, state.carried or ""))
        return msgspec.structs.replace(rights, epoch=ended.epoch, carried=ended.carried)


def pair_key(issuer: str, name: str) -> str:
    """Return the key of a row about a token or an identity: issuer and name, as JSON."""
    return msgspec.json.encode((issuer, name)).decode()
