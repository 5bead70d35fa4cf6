"""Limits that do not hold for this machine, for tests of everything else, which fail more often than people."""

from ipaddress import ip_network

from wsauth.services.throttling import Allowances

__all__ = ["FREELY", "FREELY_WRITTEN"]

_HERE = ("127.0.0.0/8", "::1/128")

FREELY = Allowances(exempt=tuple(ip_network(each) for each in _HERE), unauthenticated=100_000, per_identity=100_000)
"""For a `Guard`."""
FREELY_WRITTEN = {
    "WSAUTH__LIMITS__EXEMPT": '["127.0.0.0/8", "::1/128"]',
    "WSAUTH__LIMITS__CONNECTIONS_PER_IDENTITY": "100000",
    "WSAUTH__PASSWORDS__LOCKOUT_FOR": "1ms",
}
"""For the environment of a server."""
