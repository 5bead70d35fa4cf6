"""What differs between the ways to the echo, and why. The tests ask this table instead of skipping anything."""

__all__ = ["DIFFERENCES", "expected"]

DIFFERENCES: dict[tuple[str, str], int | None] = {}


def expected(via: str, case: str, code: int) -> int | None:
    """Return the close code for a case on one way; `None` where the frame is taken."""
    return DIFFERENCES.get((via, case), code)
