"""What people see where signing in has failed, or was begun by another site. Programs get problems as JSON."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from wsauth.server.pages import HEADERS, STYLE

__all__ = ["confirm", "failed", "is_for_people", "style"]

_PLACES: Final = re.compile(r"/auth/oauth/([^/]+)/(?:start|callback)")


def is_for_people(request: Request) -> bool:
    """Tell whether a browser shows the answer to somebody."""
    accepted = request.headers.get("accept", "")
    return request.method == "GET" and "text/html" in accepted and _PLACES.fullmatch(request.url.path) is not None


def failed(request: Request, problem: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> Response:
    """Return the page of a problem (RFC 9457); `request.state.again` is where another attempt begins."""
    found = _PLACES.fullmatch(request.url.path)
    name = "" if found is None else found[1]
    page = _HTML.format(
        detail=escape(_sentence(str(problem["detail"]))),
        id=escape(str(problem["id"])),
        again=escape(getattr(request.state, "again", f"/auth/oauth/{name}/start")),
    )
    kept = {name: value for name, value in headers.items() if name.lower() == "retry-after"}
    return HTMLResponse(page, status, headers={**HEADERS, **kept})


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def confirm(url: str) -> Response:
    """Return the page that asks whether somebody wants to sign in, whom another site has sent here."""
    return HTMLResponse(_CONFIRM.format(url=escape(url)), headers=dict(HEADERS))


def style() -> Response:
    """Return the page's style."""
    return Response(STYLE, media_type="text/css; charset=utf-8", headers=dict(HEADERS))


_HTML: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Signing in failed</title>
<link rel="stylesheet" href="/auth/oauth/style.css">
<main>
<h1>Signing in failed</h1>
<p>{detail}</p>
<p><a href="{again}">Try again</a></p>
<p>If it fails again, tell whoever runs this service the number <code>{id}</code>: their log has the reason.</p>
</main>
</html>
"""

_CONFIRM: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sign in?</title>
<link rel="stylesheet" href="/auth/oauth/style.css">
<main>
<h1>Sign in?</h1>
<p>Another site has sent you here.</p>
<p><a href="{url}">Sign in</a></p>
</main>
</html>
"""
