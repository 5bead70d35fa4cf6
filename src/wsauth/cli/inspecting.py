"""Say what a credential is, whose, whether we made it and whether it is still good; it is not used by that."""

import asyncio
from typing import Any, Final

from wsauth.cli.options import Opened
from wsauth.core.identity import OWN_ISSUER, Identity, is_ours
from wsauth.core.refusals import TABLE
from wsauth.core.sessions import COOKIE_PREFIX, REFRESH_PREFIX, read_proof
from wsauth.core.tokens.envelope import Envelope, open_envelope
from wsauth.errors import Refused
from wsauth.interfaces.feed import Seen
from wsauth.services.connections.revocations import Revocations
from wsauth.services.tickets import SignedTickets
from wsauth.services.tokens import ACCESS_TYPE
from wsauth.services.users import API_KEY_PREFIX

__all__ = ["inspected"]

_READING: Final = 5.0
"""Seconds that reading the revocations may take."""
_PROOFS: Final = {REFRESH_PREFIX: "refresh token", COOKIE_PREFIX: "session cookie"}


async def inspected(text: str, opened: Opened) -> dict[str, Any]:
    """Return what is known of a credential, never with the credential itself.

    `what` it is; whether the signature is `ours`; whether it is `good`, and `why` not; the rest as far as it says so.
    """
    if text.startswith(API_KEY_PREFIX):
        return await _api_key(text, opened)
    for prefix, what in _PROOFS.items():
        if text.startswith(f"{prefix}."):
            return await _proof(text, prefix, what, opened)
    try:
        envelope = open_envelope(text)
    except Refused as error:
        return _bad("token", False, error)
    if envelope is not None:
        return await _token(text, envelope, opened)
    return await _ticket(text, opened)


async def _api_key(text: str, opened: Opened) -> dict[str, Any]:
    user = await opened.local.users.of_key(text)
    if user is None:
        return _bad("API key", False, Refused("token_invalid", "no enabled service has it"))
    return {"what": "API key", "ours": True, "good": True, "subject": user.username, "issuer": OWN_ISSUER}


async def _proof(text: str, prefix: str, what: str, opened: Opened) -> dict[str, Any]:
    sessions = opened.local.sessions
    proof = read_proof(text, prefix)
    if proof is None or not sessions.is_ours(proof):
        return _bad(what, False, Refused("token_invalid", "we did not make it"))
    found: dict[str, Any] = {"what": what, "ours": True, "session_id": proof.session_id}
    known = await sessions.find(proof.session_id)
    if known is None:
        return found | _bad(what, True, Refused("session_revoked", "its session has ended"))
    found |= {
        "issuer": known.user.issuer,
        "subject": known.user.subject,
        "issued_at": known.session.generation_at,
        "expires_at": opened.local.limits.ends_at(known.session),
    }
    if proof.generation != known.session.generation:
        return found | _bad(what, True, Refused("token_invalid", "it was used, and a newer one took its place"))
    return found | {"good": True}


async def _token(text: str, envelope: Envelope, opened: Opened) -> dict[str, Any]:
    what = "access token" if envelope.type == ACCESS_TYPE else f"token of type {envelope.type}"
    claims = envelope.claims
    said = {
        "issuer": claims.get("iss"),
        "subject": claims.get("sub"),
        "audience": claims.get("aud"),
        "key_id": envelope.key_id,
        "token_id": claims.get("jti"),
        "session_id": claims.get("sid"),
        "roles": claims.get("roles"),
        "issued_at": _number(claims.get("iat")),
        "expires_at": _number(claims.get("exp")),
    }
    said = {name: value for name, value in said.items() if value is not None}
    try:
        key = opened.local.signing.verifying(envelope.algorithm, envelope.key_id)
        key.verify(envelope.algorithm, envelope.signed, envelope.signature)
    except Refused as error:
        return _bad(what, False, error) | said
    try:
        identity = opened.local.tokens.verify(text)
        if identity is None:
            raise Refused("token_invalid", f"its issuer is not tokens.issuer, {opened.local.tokens.issuer}")
        await _check(identity, claims.get("iat"), opened)
    except Refused as error:
        return _bad(what, True, error) | said
    return {"what": what, "ours": True, "good": True} | said


async def _ticket(text: str, opened: Opened) -> dict[str, Any]:
    backend = opened.backend
    tickets = SignedTickets(backend.tickets, backend.key_file, opened.local.limits, backend.clock, 0.0)
    try:
        ticket = tickets.opened(text)
    except Refused:
        return _bad("nothing that wsauth knows", False, Refused("token_invalid", "neither a token nor ours"))
    found: dict[str, Any] = {
        "what": "ticket; looking does not tell whether it was used",
        "ours": True,
        "issuer": ticket.issuer,
        "subject": ticket.subject,
        "session_id": ticket.session_id,
        "path": ticket.path,
        "origin": ticket.origin,
        "expires_at": ticket.expires_at,
    }
    identity = Identity(
        ticket.subject,
        issuer=ticket.issuer,
        session_id=ticket.session_id,
        token_id=ticket.token_id,
        claims=ticket.claims,
    )
    try:
        if backend.clock.now() >= ticket.expires_at:
            raise Refused("ticket_invalid", "it has expired")
        await _check(identity, ticket.claims.get("iat"), opened)
    except Refused as error:
        return found | _bad(found["what"], True, error)
    return found | {"good": True}


async def _check(identity: Identity, issued_at: float | None, opened: Opened) -> None:
    """Look at everything that may have ended the credential.

    Raises:
        Refused: something has.
    """
    revoked = (await _revocations(opened)).check(identity, issued_at)
    if revoked is not None:
        raise revoked
    if not is_ours(identity) or "epoch" not in identity.claims:
        return
    if identity.session_id is not None:
        if await opened.local.sessions.find(identity.session_id) is None:
            raise Refused("session_revoked", "its session has ended, or its account is disabled")
        return
    user = await opened.local.users.find(identity.subject)
    if user is None or user.disabled:
        raise Refused("token_revoked", "its user was removed or is disabled")
    if identity.claims["epoch"] != user.epoch:
        raise Refused("token_revoked", "the user's logins were ended")


async def _revocations(opened: Opened) -> Revocations:
    """Return all that are in force, from one read of the feed."""
    loop = asyncio.get_running_loop()
    backend, first = opened.backend, loop.create_future()
    now = backend.clock.now

    def take(seen: Seen) -> None:
        if not first.done():
            first.set_result(seen)

    def tell(seen: Seen) -> None:
        loop.call_soon_threadsafe(take, seen)

    backend.reader.start(tell, now)
    try:
        async with asyncio.timeout(_READING):
            seen: Seen = await first
    except TimeoutError:
        raise Refused("unavailable", "the store's revocations could not be read") from None
    finally:
        await asyncio.to_thread(backend.reader.stop)
    found = Revocations()
    for row in seen.rows:
        found.apply(row, now())
    return found


def _bad(what: str, ours: bool, error: Refused) -> dict[str, Any]:
    text = TABLE[error.code].text if error.code in TABLE else error.code
    return {"what": what, "ours": ours, "good": False, "why": f"{text}: {error.reason}", "code": error.code}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
