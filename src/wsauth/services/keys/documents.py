"""Fetch one JSON document from an identity provider, within limits of time and size and without surprises."""

import asyncio
import contextlib
import ipaddress
import re
import ssl
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from wsauth.core.tokens.strict_json import load_object
from wsauth.errors import ConfigurationError

__all__ = ["FetchFailed", "check_url", "fetch", "is_loopback"]

TIME_LIMIT: Final = 5.0  # seconds, from connect to the last byte
SIZE_LIMIT: Final = 256 * 1024  # bytes

_URL: Final = re.compile(r"https?://[!-~]+", re.ASCII)


class FetchFailed(Exception):
    """Say why a document could not be had; the text is for the log."""


def check_url(url: str, name: str, *, plaintext: bool = True) -> str:
    """Return `url` when it may be fetched: https, or http to this machine where `plaintext` allows that.

    Args:
        url: what to fetch.
        name: the key it was given for.
        plaintext: http to a loopback address is good enough.

    Raises:
        ConfigurationError: it may not.
    """
    try:
        parts = urlsplit(url)
        sound = _URL.fullmatch(url) and parts.hostname and "@" not in parts.netloc and not parts.fragment
    except ValueError:
        sound = False
    if not sound:
        raise ConfigurationError(f"{name} = {url!r} is not a URL without user name and fragment: write https://…")
    if not url.startswith("https://") and not (plaintext and is_loopback(url)):
        raise ConfigurationError(f"{name} = {url!r} is not https: whoever is on the way could replace the keys")
    return url


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine by `localhost` or a loopback address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


async def fetch(url: str) -> dict[str, Any]:
    """Return the JSON object at `url`: status 200, no redirects, no proxies or settings from the environment.

    Raises:
        FetchFailed: there is none to be had.
    """
    try:
        async with asyncio.timeout(TIME_LIMIT):
            return load_object(await _body(url))
    except TimeoutError:
        raise FetchFailed(f"{url} did not answer within {TIME_LIMIT:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise FetchFailed(f"{url} cannot be reached: {type(error).__name__}") from None
    except ValueError as error:
        raise FetchFailed(f"what {url} answered cannot be used: {error}") from None


@cache
def _trusted() -> ssl.SSLContext:
    """Load the authorities once: it takes 15 ms, which no open socket should wait for again."""
    return httpx2.create_ssl_context(trust_env=False)


async def _body(url: str) -> bytes:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "wsauth"}
    async with (
        httpx2.AsyncClient(verify=_trusted(), trust_env=False, follow_redirects=False, timeout=TIME_LIMIT) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        if response.status_code != httpx2.codes.OK:
            raise FetchFailed(f"{url} answered {response.status_code}, not 200 (redirects are not followed)")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchFailed(f"{url} answered with a content coding that was not asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > SIZE_LIMIT:
                raise FetchFailed(f"{url} answered with more than {SIZE_LIMIT // 1024} KiB")
        return bytes(body)
