"""Ask other servers over HTTP: no redirects, no cookies, no proxies or settings from the environment."""

import ssl
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

__all__ = ["client"]


def client(time_limit: float) -> httpx2.AsyncClient:
    """Return a client. It keeps no cookie: one that came with the answer about somebody is never sent for another.

    Args:
        time_limit: seconds for each step of a request.
    """
    return httpx2.AsyncClient(
        verify=_trusted(),
        trust_env=False,
        follow_redirects=False,
        timeout=time_limit,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Load the authorities once: it takes 15 ms, which no open socket should wait for again."""
    return httpx2.create_ssl_context(trust_env=False)
