"""What a path may mean to whoever is behind us (RFC 3986 section 6.2.2; ATTACKS HS-23, GW-09).

We compare a path as it was sent. A backend may decode it, take double slashes for one, drop what stands behind a
semicolon, or take a backslash for a slash, and then see a path to which other rules belong.
"""

import re
from typing import Final
from urllib.parse import unquote

from wsauth.errors import Refused

__all__ = ["meanings"]

_SEGMENTS: Final = re.compile(r"[/\\]")
_DOTS: Final = frozenset({".", ".."})


def meanings(path: str, decoded: str | None = None) -> tuple[str, ...]:
    """Return what else a path may mean.

    Args:
        path: as sent, without the query.
        decoded: as a server decoded it; `None` where none did.

    Raises:
        Refused: `request_invalid`: it has a segment of dots, which no client sends that means no harm: whoever reads
            a URL resolves them first (RFC 3986 section 5.2.4).
    """
    if decoded is None:
        decoded = unquote(path, "latin-1") if "%" in path else path
    if "//" not in decoded and "/." not in decoded and ";" not in decoded and "\\" not in decoded:
        return () if decoded == path else (decoded,)
    segments = [segment.partition(";")[0] for segment in _SEGMENTS.split(decoded)]
    if not _DOTS.isdisjoint(segments):
        raise Refused("request_invalid", "the path has a segment of dots (RFC 3986 section 5.2.4)")
    kept = [segment for segment in segments[:-1] if segment]
    return decoded, "/" + "/".join([*kept, segments[-1]])
