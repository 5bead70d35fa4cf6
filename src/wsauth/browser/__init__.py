"""The browser client: one plain ES module, without a build step, to be served as it is.

Attributes:
    SCRIPT: where `wsauth.js` lies; serve it as `text/javascript`. How it is used stands at its top.
"""

from pathlib import Path

__all__ = ["SCRIPT"]

SCRIPT: Path = Path(__file__).with_name("wsauth.js")
