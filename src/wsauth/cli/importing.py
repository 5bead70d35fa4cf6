"""Users who were known elsewhere, from a file: everything that is wrong is named, and then nobody is added."""

import asyncio
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from wsauth.core.users import check_username, fold
from wsauth.errors import ConfigurationError

if TYPE_CHECKING:
    from wsauth.services.users import Users

__all__ = ["Entry", "add_all", "read"]

_TOGETHER: Final = 64
"""Users that are looked up or added at once, so that the store takes them together."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Be one line of the file."""

    username: str
    password_hash: str
    roles: list[str] = []
    disabled: bool = False

    def __repr__(self) -> str:
        return f"Entry({self.username!r})"


def read(file: Path) -> tuple[dict[int, Entry], dict[int, str]]:
    """Return the entries and what is wrong, both by the number of the line; empty lines are passed over.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}; name a file of JSON lines") from None
    entries: dict[int, Entry] = {}
    wrong: dict[int, str] = {}
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = msgspec.json.decode(line, type=Entry)
            _check(entry)
        except (msgspec.MsgspecError, ConfigurationError, UnicodeDecodeError) as error:
            wrong[number] = str(error)
            continue
        first = seen.setdefault(fold(entry.username), number)
        if first == number:
            entries[number] = entry
        else:
            wrong[number] = f"{entry.username!r} stands in line {first} already; remove one"
    return entries, wrong


def _check(entry: Entry) -> None:
    from wsauth.services.passwords import verifiable
    from wsauth.services.users import check_roles

    check_username(entry.username)
    check_roles(entry.roles)
    if not verifiable(entry.password_hash):
        raise ConfigurationError(
            "password_hash is neither Argon2id ($argon2id$…) nor bcrypt ($2b$…), or takes too long to check; leave the "
            "user out and add them with a new password"
        )


async def add_all(entries: Mapping[int, Entry], wrong: dict[int, str], users: "Users") -> int:
    """Add everybody, unless something is wrong: with a line, or since the name is taken; return how many were added.

    Args:
        entries: by the number of the line.
        wrong: what is wrong, by the number of the line; what is found is added to it.
        users: where to.
    """

    async def look(number: int, entry: Entry) -> None:
        if await users.find(entry.username) is not None:
            wrong[number] = f"there is a user {entry.username!r} already; remove the line"

    async def add(_: int, entry: Entry) -> None:
        await users.add_hashed(entry.username, entry.password_hash, roles=entry.roles, disabled=entry.disabled)

    numbered = list(entries.items())
    for at in range(0, len(numbered), _TOGETHER):
        await asyncio.gather(*(look(*each) for each in numbered[at : at + _TOGETHER]))
    if wrong:
        return 0
    with _progress(len(numbered)) as advance:
        for at in range(0, len(numbered), _TOGETHER):
            some = numbered[at : at + _TOGETHER]
            await asyncio.gather(*(add(*each) for each in some))
            advance(len(some))
    return len(numbered)


@contextmanager
def _progress(total: int) -> Generator[Callable[[int], None]]:
    """Show how far it is, where somebody looks on."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Adding users", total=total)
        yield lambda count: progress.advance(task, count)
