"""Everything wsauth raises, as one tree.

::

    WsauthError
    ├── ConfigurationError      something was set up wrong; the text says what, where, and the mend
    ├── Refused                 a no, with a code of the refusal table
    │   └── PermissionDenied    the identity is known and lacks a permission
    │       └── StepUpRequired  its login is too old or too weak
    ├── ProtocolError           the state machine was driven in an order its tables do not know
    └── ConnectionClosed        the application writes to a socket that wsauth has closed (an OSError, as ASGI asks)
"""

from typing import Self

__all__ = [
    "ConfigurationError",
    "ConnectionClosed",
    "PermissionDenied",
    "ProtocolError",
    "Refused",
    "StepUpRequired",
    "WsauthError",
]


class WsauthError(Exception):
    """Be the root of everything wsauth raises."""


class ConfigurationError(WsauthError, ValueError):
    """Say that something was set up wrong: what is wrong, where, and what to do."""


class Refused(WsauthError):
    """Say no, with a code of `wsauth.core.refusals.TABLE`.

    Args:
        code: decides what the peer sees: HTTP status, close code, action and public text.
        reason: the rule that said no and what it saw, for the log; never sent to the peer, never a secret.
        mend: the line of the configuration that would change the answer, for the log.
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, code: str, reason: str = "", *, mend: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {reason}" if reason else code)
        self.code = code
        self.reason = reason
        self.mend = mend
        self.retry_after = retry_after

    def as_value(self) -> Self:
        """Return it without its traceback: a kept error would keep the frames that it passed, and all they hold."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self


class PermissionDenied(Refused):
    """Say that the identity lacks a permission."""

    def __init__(self, permission: str, reason: str = "", *, code: str = "permission_denied") -> None:
        super().__init__(code, reason or f"the permission {permission!r} is required")
        self.permission = permission


class StepUpRequired(PermissionDenied):
    """Say that the login is too old or too weak for this; after another one it may be tried again.

    Args:
        needed: what would do, in the words of RFC 9470 section 3: `max_age=300`, `acr_values=gold`. Clients see it.
    """

    def __init__(self, needed: str) -> None:
        super().__init__("", f"a login is needed with {needed}", code="step_up_required")
        self.needed = needed


class ProtocolError(WsauthError):
    """Say that the connection's machine got an event its tables do not know in this state."""


class ConnectionClosed(WsauthError, OSError):
    """Tell the application that the socket it writes to is closed (ASGI: `send` raises an OSError)."""
