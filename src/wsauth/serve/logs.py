"""Where a served process writes: standard error, with time, level and process, and no credential in any line."""

import logging
import sys

from wsauth.integrations.asgi.logs import install

__all__ = ["configure"]


def configure() -> None:
    """Log wsauth at INFO and everything else, uvicorn and `websockets` among it, at WARNING."""
    install()
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s [%(process)d] %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("wsauth").setLevel(logging.INFO)
