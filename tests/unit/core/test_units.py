"""Durations and sizes as people write them."""

import pytest

from wsauth.core.units import seconds, size
from wsauth.errors import ConfigurationError


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("24h", 86400.0),
        ("7d", 604800.0),
        ("2w", 1209600.0),
        ("500ms", 0.5),
        ("1.5h", 5400.0),
        ("30 s", 30.0),
        ("", 0.0),
        ("0", 0.0),
        (0, 0.0),
        (30, 30.0),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_seconds(written: str | float, expected: float) -> None:
    """Every unit, a bare number and both ways to write off give seconds as a float."""
    assert seconds(written, "leeway") == expected
    assert isinstance(seconds(written, "leeway"), float)


@pytest.mark.parametrize(
    "written",
    [
        "30",
        "s",
        "30S",
        "-1s",
        "1e3s",
        "30s ",
        " 30s",
        "30  s",
        "1h30m",
        "∞",
        "٣s",
        -1,
        float("nan"),
        float("inf"),
        True,
    ],
)
def test_what_is_no_duration_is_named(written: str | float) -> None:
    """A bad duration is refused in words that name its key and what was written."""
    with pytest.raises(ConfigurationError) as refused:
        seconds(written, "leeway")
    assert str(refused.value).startswith(f"leeway = {written!r} ")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("64KiB", 65536),
        ("1MiB", 1048576),
        ("2GiB", 2147483648),
        ("1kB", 1000),
        ("1KB", 1000),
        ("5MB", 5_000_000),
        ("512B", 512),
        ("1.5KiB", 1536),
        ("", 0),
        ("0", 0),
        (0, 0),
        (7, 7),
    ],
)
def test_a_size_is_bytes(written: str | int, expected: int) -> None:
    """Binary and decimal units and a bare number give bytes as an int."""
    assert size(written, "max_message") == expected
    assert isinstance(size(written, "max_message"), int)


@pytest.mark.parametrize("written", ["64", "64K", "64kib", "-1B", "1.0001KiB", "1 MiB ", -1, True])
def test_what_is_no_size_is_named(written: str | int) -> None:
    """A bad size is refused in words that name its key and what was written."""
    with pytest.raises(ConfigurationError) as refused:
        size(written, "max_message")
    assert str(refused.value).startswith(f"max_message = {written!r} ")


def test_a_float_is_no_size() -> None:
    """Half bytes do not exist, so a float is refused whatever its value."""
    with pytest.raises(ConfigurationError, match="not a size"):
        size(1.0, "max_message")  # type: ignore[arg-type] # what a TOML file may hold
