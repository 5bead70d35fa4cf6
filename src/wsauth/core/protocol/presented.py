"""What may be presented in a message on a route, and reading it."""

from wsauth.core.credentials import Credentials
from wsauth.core.protocol import control
from wsauth.core.routes import Policy
from wsauth.errors import Refused

__all__ = ["accepts", "read_first", "read_renewal"]

_SOURCE_OF = {"ticket": "ticket", "password": "basic"}


def accepts(policy: Policy, private: bool) -> list[str]:
    """Return what `auth_required` lists."""
    accept = ["token"]
    if "ticket" in policy.sources:
        accept.append("ticket")
    if "basic" in policy.sources and private:
        accept.append("password")
    return accept


def read_first(message: str, policy: Policy, private: bool, *, first: bool) -> Credentials:
    """Return what a message before authentication presents; `first` lets the plain-text form count.

    Raises:
        Refused: nothing, or nothing that the route takes.
    """
    credentials = control.read_auth(message)
    if credentials is None and first:
        credentials = control.read_plain_auth(message)
    if credentials is None:
        raise Refused("credentials_missing", "another message came before authentication")
    return _checked(credentials, policy, private)


def read_renewal(message: str, policy: Policy, private: bool) -> Credentials | None:
    """Return what a message on an open connection presents, or `None` when it is the application's.

    Raises:
        Refused: it presents something that the route does not take.
    """
    credentials = control.read_auth(message)
    return None if credentials is None else _checked(credentials, policy, private)


def _checked(credentials: Credentials, policy: Policy, private: bool) -> Credentials:
    source = _SOURCE_OF.get(credentials.kind)
    if source is not None and source not in policy.sources:
        raise Refused(
            "credentials_invalid",
            f"a {credentials.kind} came in a message, which is no source at {policy.path}",
            mend=f'sources = [..., "{source}"]',
        )
    if credentials.kind == "password" and not private:
        raise Refused("credentials_invalid", "a password came over plain ws:// from another machine", mend="use wss://")
    return credentials
