"""The upstreams that a configuration names."""

from collections.abc import Mapping

from wsauth.core.forwarding import Forwarding
from wsauth.gateway.upstreams import Upstream
from wsauth.settings import Settings
from wsauth.settings.routes import Route
from wsauth.settings.upstreams import path_of

__all__ = ["upstreams_of"]


def upstreams_of(settings: Settings, local: Mapping[str, str]) -> dict[str, Upstream]:
    """Return the upstream of each route's path.

    Args:
        settings: the configuration.
        local: for each application of this process (`echo`, `asgi:…`) the URL at which it is served.
    """
    return {route.path: _upstream(route, local) for route in settings.routes}


def _upstream(route: Route, local: Mapping[str, str]) -> Upstream:
    urls = route.upstreams
    inside = urls[0] in local
    return Upstream(
        [local[url] for url in urls] if inside else urls,
        timeout=route.upstream_timeout,
        ca=route.upstream_ca,
        certificate=route.upstream_certificate,
        key=route.upstream_key,
        forwarding=Forwarding(
            remove_headers=route.remove_headers,
            forward_claims=route.forward_claims,
            host=route.upstream_host,
            path=route.upstream_path or ("" if inside else path_of(urls[0])),
            compression=route.compression,
        ),
        assertion=route.assertion and not inside,
        local=inside,
    )
