"""The data plane: WebSockets through a lease to any backend, in any language."""

from wsauth.gateway.gateway import Gateway
from wsauth.gateway.upstreams import Upstream

__all__ = ["Gateway", "Upstream"]
