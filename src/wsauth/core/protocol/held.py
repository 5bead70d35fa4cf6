"""Messages that wait, in order, while a credential is verified or a lease has ended."""

from collections import deque

from wsauth.core.protocol.commands import Message
from wsauth.core.protocol.wire import HELD_LIMIT

__all__ = ["Held", "size"]


class Held:
    """Hold messages, and know when reading has to stop (over 16 KiB)."""

    __slots__ = ("_messages", "_size")

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._size = 0

    @property
    def full(self) -> bool:
        """Tell whether the client must not be read any further."""
        return self._size > HELD_LIMIT

    def add(self, message: Message) -> None:
        """Hold one more."""
        self._messages.append(message)
        self._size += size(message)

    def take(self) -> Message:
        """Return the oldest."""
        message = self._messages.popleft()
        self._size -= size(message)
        return message

    def __len__(self) -> int:
        return len(self._messages)


def size(message: Message) -> int:
    """Return a message's bytes on the wire (text is UTF-8, RFC 6455 section 5.6)."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode("utf-8", "surrogatepass"))
