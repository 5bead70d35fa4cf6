"""Fetch one JSON document from an identity provider, within limits of time and size and without surprises."""

import asyncio
from typing import Any, Final

import httpx2

from wsauth.core.tokens.strict_json import load_object
from wsauth.core.urls import is_loopback, is_sound
from wsauth.errors import ConfigurationError
from wsauth.services.http import client

__all__ = ["FetchFailed", "check_url", "fetch"]

TIME_LIMIT: Final = 5.0  # seconds, from connect to the last byte
SIZE_LIMIT: Final = 256 * 1024  # bytes


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
    if not is_sound(url):
        raise ConfigurationError(f"{name} = {url!r} is not a URL without user name and fragment: write https://…")
    if not url.startswith("https://") and not (plaintext and is_loopback(url)):
        raise ConfigurationError(f"{name} = {url!r} is not https: whoever is on the way could replace the keys")
    return url


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


async def _body(url: str) -> bytes:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "wsauth"}
    async with (
        client(TIME_LIMIT) as asking,
        asking.stream("GET", url, headers=headers) as response,
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
