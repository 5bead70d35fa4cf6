"""What somebody presented, and where it was found. The secret hides in `repr` and cannot be pickled."""

from typing import Any, Final, Literal, NoReturn

from wsauth.core.certificates import Certificate

__all__ = ["SOURCES", "Credentials", "Kind", "Source"]

Kind = Literal["token", "ticket", "password", "certificate"]
Source = Literal[
    "header",
    "basic",
    "cookie",
    "ticket",
    "subprotocol",
    "message",
    "certificate",
    "insecure_query",
    "insecure_bare_subprotocol",
]

SOURCES: Final[tuple[Source, ...]] = (
    "header",
    "basic",
    "cookie",
    "ticket",
    "subprotocol",
    "message",
    "certificate",
    "insecure_query",
    "insecure_bare_subprotocol",
)


class Credentials:
    """Hold what was presented.

    Attributes:
        kind: `token`, `ticket`, `password` or `certificate`.
        secret: the token, the ticket or the password; never shown. A certificate has none: TLS has seen its proof.
        username: with a password, the name that came with it; else empty.
        source: where it was found.
        cookie: with source `cookie`, the cookie's name; else empty.
        proof: with a cookie on a request that changes something, what came as `X-CSRF-Token`, perhaps nothing;
            `None` where no proof is needed.
        certificate: with kind `certificate`, what it says; else `None`.
        address: where they came from, as far as it is known; empty if not.
        device: the cookie by which our server knows a device again, or empty.
        lasting: a connection will stand on them, so that a password may open a session.
        rechecking: the verifier that took them and will ask about them again, if there is one.
    """

    __slots__ = (
        "address",
        "certificate",
        "cookie",
        "device",
        "kind",
        "lasting",
        "proof",
        "rechecking",
        "secret",
        "source",
        "username",
    )

    def __init__(
        self,
        kind: Kind,
        secret: str,
        *,
        source: Source,
        username: str = "",
        cookie: str = "",
        proof: str | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self.kind = kind
        self.secret = secret
        self.source = source
        self.username = username
        self.cookie = cookie
        self.proof = proof
        self.certificate = certificate
        self.address = ""
        self.device = ""
        self.lasting = False
        self.rechecking: Any = None

    def __repr__(self) -> str:
        return f"Credentials({self.kind!r}, source={self.source!r}, secret=<hidden>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials cannot be pickled")
