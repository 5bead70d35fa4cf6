"""`GET /` on loopback: what runs where, and what to type next."""

from html import escape
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from wsauth.errors import Refused
from wsauth.server.plane import Plane

__all__ = ["HEADERS", "STYLE", "page_routes"]

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index() -> Response:
        """Say what runs where, to whoever sits at this machine."""
        if not plane.on_loopback or plane.settings.server.trusted_proxies:
            raise Refused("not_found", "there is a page on loopback only")
        return HTMLResponse(_page(plane), headers=HEADERS)

    @router.get("/wsauth.css")
    async def style() -> Response:
        """Return the page's style."""
        return Response(STYLE, media_type="text/css; charset=utf-8", headers=HEADERS)

    return router


def _page(plane: Plane) -> str:
    public, settings = plane.urls.public, plane.settings
    routes = "".join(
        f"<tr><td><code>{escape(route.path)}</code></td><td>{escape(', '.join(route.upstreams))}</td></tr>"
        for route in settings.routes
    )
    socket = "ws" + public.removeprefix("http") + settings.routes[0].path.removesuffix("*")
    steps = "\n".join(
        [
            "wsauth users add alice --role member",
            f"wsauth connect {socket} --user alice",
            "wsauth sessions revoke --subject alice",
        ]
    )
    return _HTML.format(
        public=escape(public),
        admin=escape(plane.urls.admin or "off"),
        store=escape(str(settings.store.path.absolute())),
        routes=routes,
        steps=escape(steps),
    )


_HTML: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>wsauth</title>
<link rel="stylesheet" href="/wsauth.css">
<main>
<h1>wsauth is running</h1>
<table>
<tr><th>public</th><td><code>{public}</code></td></tr>
<tr><th>admin</th><td><code>{admin}</code></td></tr>
<tr><th>store</th><td><code>{store}</code></td></tr>
</table>
<h2>WebSocket routes</h2>
<table>{routes}</table>
<h2>What to type next</h2>
<p>In another terminal, in the same folder:</p>
<pre>{steps}</pre>
<p>How to authenticate here, for programs: <a href="/.well-known/websocket-auth">websocket-auth</a>,
keys: <a href="/.well-known/jwks.json">jwks.json</a>, health: <a href="/readyz">readyz</a>.</p>
</main>
</html>
"""

STYLE: Final = """:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; }
pre { padding: 1rem; overflow-x: auto; background: color-mix(in srgb, currentColor 8%, transparent); }
"""
