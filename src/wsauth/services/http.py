"""Ask other servers over HTTP: no redirects, no proxies or settings from the environment, one set of authorities."""

import ssl
from functools import cache

import httpx2

__all__ = ["client"]


def client(time_limit: float) -> httpx2.AsyncClient:
    """Return a client.

    Args:
        time_limit: seconds for each step of a request.
    """
    return httpx2.AsyncClient(verify=_trusted(), trust_env=False, follow_redirects=False, timeout=time_limit)


@cache
def _trusted() -> ssl.SSLContext:
    """Load the authorities once: it takes 15 ms, which no open socket should wait for again."""
    return httpx2.create_ssl_context(trust_env=False)
