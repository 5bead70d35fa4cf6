"""`[roles]`: what each role may do."""

from typing import Annotated

from pydantic import AfterValidator

from wsauth.core.permissions import Roles as _Roles
from wsauth.settings.keys import Kind

__all__ = ["Roles"]


def _checked(value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    _Roles(value)
    return value


Roles = Annotated[dict[str, tuple[str, ...]], AfterValidator(_checked), Kind("list of permissions")]
