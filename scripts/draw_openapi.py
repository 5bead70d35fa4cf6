"""Draw docs/reference/openapi.json from the routes in wsauth.server.

Usage: python scripts/draw_openapi.py [--check]. With `--check` nothing is written, and the exit status says whether
the document is up to date.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from wsauth.errors import ConfigurationError
from wsauth.guard.configured import backend_of, guard_of
from wsauth.serve import Urls
from wsauth.server.document import document
from wsauth.server.plane import Plane
from wsauth.services.metrics import Metrics
from wsauth.settings import load

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "openapi.json"
PUBLIC = "https://wsauth.example.com"


def page() -> str:
    """Return the whole document."""
    with TemporaryDirectory() as folder:
        environ = {
            "WSAUTH__SERVER__PUBLIC_URL": PUBLIC,
            "WSAUTH__STORE__URL": f"sqlite:///{folder}/wsauth.db",
            "WSAUTH__STORE__KEY_FILE": f"{folder}/wsauth.key",
        }
        settings = load(Path("/dev/null"), environ)
        backend = backend_of(settings, follows=False)
        if backend.local is None:
            raise ConfigurationError("the server needs its own users")
        guard = guard_of(settings, backend)
        metrics = Metrics(guard.bus, guard.connections, queue=lambda: 0)
        plane = Plane(settings, guard, backend.local, Urls(PUBLIC, ""), metrics=metrics, draining=lambda: False)
        return json.dumps(document(plane), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the document, or check it."""
    fresh = page()
    if "--check" in arguments:
        stale = not PAGE.exists() or PAGE.read_text("utf-8") != fresh
        if stale:
            print(f"{PAGE} is out of date: run python scripts/draw_openapi.py", file=sys.stderr)
        return int(stale)
    PAGE.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
