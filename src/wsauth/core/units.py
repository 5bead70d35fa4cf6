"""Durations and sizes as people write them: `"30s"`, `"64KiB"`; `""` and 0 are off."""

import math
import re
from typing import Final

from wsauth.errors import ConfigurationError

__all__ = ["seconds", "size"]

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "KiB": 1024,
    "MB": 1000**2,
    "MiB": 1024**2,
    "GB": 1000**3,
    "GiB": 1024**3,
}
_QUANTITY: Final = re.compile(r"([0-9]{1,12})(\.[0-9]{1,6})? ?([A-Za-z]{1,3})", re.ASCII)


def seconds(value: str | float, name: str) -> float:
    """Return a duration in seconds; 0.0 is off.

    Args:
        value: `"30s"`, `"5m"`, `"24h"`, `"7d"`, `"500ms"`, or a number of seconds.
        name: the key it was given for, to name it when it is wrong.

    Raises:
        ConfigurationError: it is not a duration.
    """
    if isinstance(value, str):
        return _written(value, _SECONDS, name, 'a duration such as "30s", "5m", "24h" or "7d"')
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f'{name} = {value!r} is not a duration: write "30s", "5m", "24h" or "7d"')
    if not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"{name} = {value!r} is not a duration: write a number of seconds, 0 for off")
    return float(value)


def needed(value: str | float, name: str) -> float:
    """Return a duration in seconds that cannot be off.

    Raises:
        ConfigurationError: it is no duration, or off.
    """
    if not (duration := seconds(value, name)):
        raise ConfigurationError(f'{name} cannot be off: write {name}="10s"')
    return duration


def size(value: str | int, name: str) -> int:
    """Return a size in bytes; 0 is off.

    Args:
        value: `"64KiB"`, `"1MiB"`, `"512B"`, or a number of bytes.
        name: the key it was given for, to name it when it is wrong.

    Raises:
        ConfigurationError: it is not a size, or not a whole number of bytes.
    """
    if isinstance(value, str):
        count = _written(value, _BYTES, name, 'a size such as "64KiB" or "1MiB"')
        if count != int(count):
            raise ConfigurationError(f'{name} = {value!r} is not a whole number of bytes: write "64KiB"')
        return int(count)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f'{name} = {value!r} is not a size: write "64KiB", or a number of bytes')
    return value


def _written(value: str, units: dict[str, float] | dict[str, int], name: str, expected: str) -> float:
    if value in ("", "0"):
        return 0.0
    found = _QUANTITY.fullmatch(value)
    if found is None or found[3] not in units:
        raise ConfigurationError(f'{name} = {value!r} is not {expected} ("" or 0 is off)')
    return float(found[1] + (found[2] or "")) * units[found[3]]
