"""Authentication, authorization and session control for WebSockets: a lease on every connection."""

from importlib.metadata import version

from wsauth.core.credentials import Credentials
from wsauth.core.events import Closed, Connected, RightsChanged
from wsauth.core.identity import Identity
from wsauth.errors import ConfigurationError, PermissionDenied, Refused, StepUpRequired
from wsauth.guard import Guard, Route
from wsauth.interfaces.authorizer import Authorizer
from wsauth.interfaces.verifier import Verifier
from wsauth.services.connections.connection import Connection
from wsauth.services.connections.connections import Report
from wsauth.verifiers.http import HTTPVerifier
from wsauth.verifiers.introspection import IntrospectionVerifier
from wsauth.verifiers.jwt import JWTVerifier
from wsauth.verifiers.password import PasswordVerifier

__all__ = [
    "Authorizer",
    "Closed",
    "ConfigurationError",
    "Connected",
    "Connection",
    "Credentials",
    "Guard",
    "HTTPVerifier",
    "Identity",
    "IntrospectionVerifier",
    "JWTVerifier",
    "PasswordVerifier",
    "PermissionDenied",
    "Refused",
    "Report",
    "RightsChanged",
    "Route",
    "StepUpRequired",
    "Verifier",
    "__version__",
]

__version__ = version("wsauth")
