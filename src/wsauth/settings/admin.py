"""`[admin]`: the listener of the admin API."""

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, ValidationInfo

from wsauth.settings.keys import Kind, Table, key, placed

__all__ = ["Admin"]

_ADDRESS: Final = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", re.ASCII)
_UNIX: Final = "unix:"
_OFF: Final = ("off", "")


def _listen(value: str, info: ValidationInfo) -> str:
    if value in _OFF:
        return "off"
    if value.startswith(_UNIX) and value != _UNIX:
        return _UNIX + placed(value.removeprefix(_UNIX), info)
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match[2]) > 65535:
        raise ValueError(f"listen = {value!r} is not HOST:PORT, unix:PATH or off")
    return value.lower()


class Admin(Table):
    """The listener of the admin API: one for each `wsauth serve`, whatever `workers` is."""

    listen: Annotated[str, AfterValidator(_listen), Kind("HOST:PORT, unix:PATH or off")] = key(
        "127.0.0.1:8081",
        "Where the admin API listens: HOST:PORT (port 0 takes a free one), unix:PATH, or off. An address that other "
        "machines reach needs tls_certificate and tls_key.",
    )

    @property
    def address(self) -> tuple[str, int] | Path | None:
        """Host and port, the socket's path, or None where it is off."""
        if self.listen == "off":
            return None
        if self.listen.startswith(_UNIX):
            return Path(self.listen.removeprefix(_UNIX))
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)
