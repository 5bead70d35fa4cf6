"""`[tokens]`: what wsauth itself issues."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from wsauth.settings.keys import Duration, NeededDuration, Table, key

__all__ = ["Tokens"]


class Tokens(Table):
    """What wsauth itself issues."""

    issuer: str = key("", "The issuer (iss) of our tokens. Empty: public_url.")
    audience: Annotated[str, StringConstraints(min_length=1)] = key("wsauth", "The audience (aud) of our tokens.")
    algorithm: Literal["EdDSA", "HS256", "ES256"] = key(
        "EdDSA", "What signs: EdDSA (Ed25519), ES256 (P-256), or HS256, whose tokens only we can verify."
    )
    access_ttl: NeededDuration = key(
        "5m", "How long an access token lives, and the lease of a cookie, a ticket or a password."
    )
    refresh_ttl: NeededDuration = key("7d", "How long a session may stay unused.")
    session_ttl: NeededDuration = key("30d", "How long a session lives, used or not.")
    refresh_grace: Duration = key(
        "20s",
        "How long a refresh token that was just used may come again (two tabs, a lost reply): it gets the same "
        "successor. Off: never.",
    )
    ticket_ttl: NeededDuration = key("30s", "How long a ticket may wait to be used.")
