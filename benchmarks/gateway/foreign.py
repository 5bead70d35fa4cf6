"""A server that also takes the tokens which nginx and HAProxy take here, until `[[issuers]]` can say so."""

from typing import Any
from unittest.mock import patch

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET
from wsauth import Guard, JWTVerifier
from wsauth.guard import configured
from wsauth.server.application import ControlPlane
from wsauth.server.factory import Factory
from wsauth.server.plane import Urls
from wsauth.settings import Settings


class ForeignFactory(Factory):
    """Make control planes with one verifier more."""

    def build(self, settings: Settings, urls: Urls) -> ControlPlane:
        """Return the control plane of this process."""
        with patch.object(configured, "Guard", _guard):
            return super().build(settings, urls)


def _guard(**keys: Any) -> Guard:
    return Guard(**{**keys, "verifiers": [JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=SECRET)]})


factory = ForeignFactory()
