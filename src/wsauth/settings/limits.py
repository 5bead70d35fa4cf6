"""`[limits]`: how often and how many, by address and by identity."""

from ipaddress import ip_network
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, StrictInt, ValidationInfo

from wsauth.core.throttling import rate
from wsauth.settings.keys import Kind, Table, key

__all__ = ["Limits", "WrittenRate"]


def _written_rate(value: Any, info: ValidationInfo) -> Any:
    rate(value, info.field_name or "")
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for entry in value:
        try:
            ip_network(entry)
        except ValueError:
            raise ValueError(f'{entry!r} is neither an address nor a network such as "10.0.0.0/8"') from None
    return value


WrittenRate = Annotated[str, BeforeValidator(_written_rate), Kind("rate")]
_MOST: Final = 1_000_000


class Limits(Table):
    """How often and how many. Addresses are counted for failures and strangers only, IPv6 by /64; whoever
    authenticates is limited by identity. Each process counts for itself; failed logins are counted over all.
    """

    login_failures_per_address: WrittenRate = key(
        "20/m", "Wrong passwords of one address, over all accounts and all ways to log in, counted over all processes."
    )
    auth_failures_per_address: WrittenRate = key(
        "60/m", "Wrong or forged credentials of one address; an expired or revoked one is not one."
    )
    connect_per_address: WrittenRate = key(
        "300/m", "Connections of one address that do not authenticate; whoever does is not counted."
    )
    unauthenticated_per_address: StrictInt = key(
        50,
        "Connections of one address whose request brought nothing to authenticate them; over it the oldest is closed.",
        ge=1,
        le=_MOST,
    )
    unauthenticated_connections: StrictInt = key(
        1000,
        "The same over all addresses, in each process; when full, the oldest of the address that holds most is closed.",
        ge=1,
        le=_MOST,
    )
    connections_per_identity: StrictInt = key(50, "Open connections of one identity, in each process.", ge=1, le=_MOST)
    messages_per_connection: WrittenRate = key(
        "",
        "Messages of one connection's client; beyond, we stop reading it for a moment: nothing is lost or closed.",
        example="100/s",
    )
    exempt: Annotated[tuple[str, ...], AfterValidator(_networks), Kind("list of addresses and networks")] = key(
        (), "Addresses that are never limited or blocked.", example=["10.0.0.0/8"]
    )
