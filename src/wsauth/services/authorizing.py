"""Ask an engine of somebody's own what a connection may do: only its yes is one."""

import asyncio
import logging
from typing import Final

from wsauth.core.identity import Identity
from wsauth.core.permissions import Permissions
from wsauth.errors import PermissionDenied
from wsauth.interfaces.authorizer import Authorizer

__all__ = ["check_allowed"]

_TIME_LIMIT: Final = 2.0
"""Seconds that an answer may take."""

_log = logging.getLogger("wsauth")


async def check_allowed(
    authorizer: Authorizer | None, identity: Identity, permissions: Permissions, permission: str
) -> None:
    """Go on only if the authorizer says yes; without one the roles decide (ASVS 16.5.3: what fails lets nobody pass).

    Raises:
        PermissionDenied: no, or no answer.
    """
    if authorizer is None:
        if not permissions.allow(permission):
            raise PermissionDenied(permission)
        return
    name = type(authorizer).__name__
    try:
        async with asyncio.timeout(_TIME_LIMIT):
            answer = await authorizer.authorize(identity, permissions, permission)
    except TimeoutError:
        why = f"{name} did not answer within {_TIME_LIMIT:g} s"
    except Exception as error:  # noqa: BLE001  it is anybody's code, and its failure lets nobody pass
        why = f"{name} failed with {type(error).__name__}"
        _log.error("%s, so %r is refused", why, permission)
    else:
        if answer is True:
            return
        why = "" if answer is False else f"{name} answered {type(answer).__name__}, and only True is a yes"
    raise PermissionDenied(permission, why)
