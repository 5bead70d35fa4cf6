"""Frames as bytes (RFC 6455 section 5): writing them, and what a close frame may hold."""

from typing import Final

from wsauth.core.protocol.wire import REASON_LIMIT

__all__ = ["CLOSE", "PING", "PONG", "TEXT", "close_payload", "read_close", "unmasked", "written"]

TEXT: Final = 0x1
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FINAL: Final = 0x80
_MASKED: Final = 0x80


def written(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """Return one whole frame.

    Args:
        opcode: of a frame that is a message of its own.
        payload: as the receiver gets it.
        mask: four unpredictable bytes where the receiver is a server (RFC 6455 section 5.3), else empty.
    """
    size, bit = len(payload), _MASKED if mask else 0
    if size < 126:
        head = bytes((_FINAL | opcode, bit | size))
    elif size < 65_536:
        head = bytes((_FINAL | opcode, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | opcode, bit | 127)) + size.to_bytes(8, "big")
    return head + mask + unmasked(payload, mask) if mask else head + payload


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """Return a payload with the mask taken off, or put on: it is the same (RFC 6455 section 5.3)."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def close_payload(code: int, reason: str) -> bytes:
    """Return what a close frame holds; the reason is cut between characters at 123 bytes."""
    text = reason.encode()
    if len(text) > REASON_LIMIT:
        text = text[:REASON_LIMIT].decode(errors="ignore").encode()
    return code.to_bytes(2, "big") + text


def read_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason; 1005 where there is none (RFC 6455 section 7.1.5).

    Raises:
        ValueError: the payload is no code with a reason in UTF-8; the first argument is the close code to answer.
    """
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ValueError(1002, "a close frame holds no code that may be sent (RFC 6455 section 7.4)")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ValueError(1007, "a close frame's reason is not UTF-8 (RFC 6455 section 5.5.1)") from None
