"""An engine of your own that decides what somebody may do."""

from typing import Protocol

from wsauth.core.identity import Identity
from wsauth.core.permissions import Permissions

__all__ = ["Authorizer"]


class Authorizer(Protocol):
    """Decide, in place of the roles, what `Connection.authorize` is asked."""

    async def authorize(self, identity: Identity, permissions: Permissions, permission: str) -> bool:
        """Tell whether somebody may do this.

        Only `True` is a yes. Whatever else is returned, an exception and silence (two seconds) are a no.

        Args:
            identity: who, as of now; nobody on an anonymous route.
            permissions: what their roles and credentials give, for an engine that wants to know.
            permission: the name that is asked for.
        """
