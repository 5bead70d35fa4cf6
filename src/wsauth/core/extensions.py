"""permessage-deflate (RFC 7692): what a client offers, and whether an answer fits it (RFC 6455 section 9.1).

No other extension passes: what it would do to the frames nobody here knows. An offer that is not well formed is
declined by being left out, so a hostile one costs its sender the compression and us one pass over the line.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec

from wsauth.core.fields import Field

__all__ = ["NONE", "Deflate", "Offers", "read_offers"]

_NAME: Final = "permessage-deflate"
_KEPT: Final = 4
"""Offers that are passed on."""
_LISTED: Final = 16
"""Offers in all; who sends more is not answered with an extension."""
_QUOTED: Final = re.compile(r'="([!#$%&\'*+.^_`|~0-9A-Za-z-]++)"')
"""A value in quotes must be a token without them (RFC 6455 section 9.1)."""
_BITS: Final = {str(bits): bits for bits in range(8, 16)}
"""Window sizes (RFC 7692 section 7.1.2)."""


class Deflate(msgspec.Struct, frozen=True, gc=False):
    """Be one offer of permessage-deflate, or the answer to one (RFC 7692 section 7.1).

    Attributes:
        server_no_context_takeover: the server forgets its window after each message.
        client_no_context_takeover: the client does.
        server_max_window_bits: the server's window, 8 to 15; 0 where it is not there.
        client_max_window_bits: the client's; 0 where it is not there, -1 where it came without a value.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 0
    client_max_window_bits: int = 0

    def __str__(self) -> str:
        """Return it as it is written in `Sec-WebSocket-Extensions`."""
        parts = [_NAME]
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is True or value == -1:
                parts.append(name)
            elif value:
                parts.append(f"{name}={value}")
        return "; ".join(parts)

    def answers(self, offer: "Deflate") -> bool:
        """Tell whether a server may answer this to that offer (RFC 7692 sections 7.1.1 and 7.1.2)."""
        if offer.server_no_context_takeover and not self.server_no_context_takeover:
            return False
        if offer.server_max_window_bits and not 0 < self.server_max_window_bits <= offer.server_max_window_bits:
            return False
        if self.client_max_window_bits == 0:
            return True
        if self.client_max_window_bits < 0:
            return False
        return offer.client_max_window_bits < 0 or self.client_max_window_bits <= offer.client_max_window_bits


class Offers(msgspec.Struct, frozen=True, gc=False):
    """Hold what may be offered to an upstream in a client's name.

    Attributes:
        deflates: in the client's order of preference.
        header: the value of `Sec-WebSocket-Extensions`; empty where there is nothing to offer.
    """

    deflates: tuple[Deflate, ...] = ()
    header: bytes = b""

    def accept(self, value: str) -> str:
        """Return an upstream's answer as it goes to the client.

        Raises:
            ValueError: it is not one permessage-deflate that answers one of the offers.
        """
        answer = _accepted(self.deflates, value)
        if answer is None:
            raise ValueError("the extension was not offered, or not so")
        return answer


NONE: Final = Offers()
"""Nothing is offered."""


def read_offers(headers: Iterable[Field]) -> Offers:
    """Return the well-formed offers of permessage-deflate among a client's headers, at most four."""
    found = [value for name, value in headers if name == b"sec-websocket-extensions"]
    return _read(b",".join(found)) if found else NONE


@lru_cache(maxsize=64)
def _read(value: bytes) -> Offers:
    """Read the list; nearly all clients send one of a few."""
    text = _QUOTED.sub(r"=\1", value.decode("latin-1"))
    listed = text.split(",", _LISTED)
    if len(listed) > _LISTED or '"' in text:
        return NONE
    deflates = [offer for each in listed if (offer := _deflate(each)) is not None][:_KEPT]
    return Offers(tuple(deflates), ", ".join(map(str, deflates)).encode())


@lru_cache(maxsize=64)
def _accepted(offers: tuple[Deflate, ...], value: str) -> str | None:
    answer = _deflate(value)
    if answer is None or not any(answer.answers(offer) for offer in offers):
        return None
    return str(answer)


def _deflate(text: str) -> Deflate | None:
    """Read one offer or answer; `None` for another extension, and for parameters that are wrong or there twice."""
    name, *parameters = [part.strip(" \t") for part in text.split(";", 5)]
    if name != _NAME:
        return None
    values: dict[str, Any] = {}
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        if key in values:
            return None
        if key in ("server_no_context_takeover", "client_no_context_takeover") and not equals:
            values[key] = True
        elif key in ("server_max_window_bits", "client_max_window_bits") and value in _BITS:
            values[key] = _BITS[value]
        elif key == "client_max_window_bits" and not equals:
            values[key] = -1
        else:
            return None
    return Deflate(**values)
