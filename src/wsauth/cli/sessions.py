"""`wsauth sessions`: who is signed in, and ending that."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wsauth.cli.options import Opened, config_option, json_option, using
from wsauth.cli.output import moment, print_json, print_report, print_table, say
from wsauth.core.identity import OWN_ISSUER

if TYPE_CHECKING:
    from wsauth.core.sessions import Session
    from wsauth.services.connections.connections import Report

__all__ = ["sessions"]

_PAGE: Final = 1000


@click.group
def sessions() -> None:
    """Logins that the server keeps: list, revoke."""


@sessions.command(name="list")
@config_option
@json_option
@click.option("--subject", metavar="S", help="Only this one's.")
@click.option("--issuer", metavar="I", default=OWN_ISSUER, help="Whose subject it is; by default our own.")
def list_(config: Path | None, as_json: bool, subject: str | None, issuer: str) -> None:
    """List the live sessions."""

    async def work(opened: Opened) -> list[dict[str, Any]]:
        ends_at = opened.local.limits.ends_at
        return [_described(session, ends_at(session)) for session in await _found(opened, subject, issuer)]

    described = using(config, work)
    if as_json:
        print_json(described)
        return
    print_table(
        ("session", "issuer", "subject", "kind", "since", "ends", "address"),
        (
            (one["id"], one["issuer"], one["subject"], one["kind"], moment(one["created_at"]),
             moment(one["expires_at"]), one["address"])
            for one in described
        ),
    )  # fmt: skip


@sessions.command
@click.argument("session_id", required=False)
@click.option("--subject", metavar="S", help="Everything issued to this subject until now.")
@click.option("--issuer", metavar="I", help=f"Whose subject it is; by default our own ({OWN_ISSUER}).")
@click.option("--all", "everything", is_flag=True, help="Everything issued to anybody until now.")
@config_option
@json_option
def revoke(
    session_id: str | None,
    *,
    subject: str | None,
    issuer: str | None,
    everything: bool,
    config: Path | None,
    as_json: bool,
) -> int:
    """End a session, all of a subject, or all there are; running servers close the sockets within a second."""
    if sum((session_id is not None, subject is not None, everything)) != 1:
        raise click.UsageError("name exactly one: a session id, --subject S or --all")
    if issuer is not None and subject is None:
        raise click.UsageError("--issuer goes with --subject")

    async def work(opened: Opened) -> "Report":
        if everything:
            return await opened.backend.revoke_all()
        if session_id is not None:
            if await opened.local.sessions.find(session_id) is None:
                say("there is no live session of this id; what names it is refused from now on")
            return await opened.backend.revoke(session_id=session_id)
        named = issuer or OWN_ISSUER
        user = await opened.local.users.find(subject or "") if named == OWN_ISSUER else None
        return await opened.backend.revoke(issuer=named, subject=user.username if user else subject)

    return print_report(using(config, work), as_json=as_json)


async def _found(opened: Opened, subject: str | None, issuer: str) -> Sequence["Session"]:
    held = opened.local.sessions
    if subject is not None:
        user = await opened.local.users.find(subject) if issuer == OWN_ISSUER else None
        return await held.of(user.username if user else subject, issuer)
    found: list[Session] = []
    while page := await held.page(found[-1].id if found else "", _PAGE):
        found += page
    return found


def _described(session: "Session", expires_at: float) -> dict[str, Any]:
    return {
        "id": session.id,
        "issuer": session.issuer,
        "subject": session.subject,
        "kind": session.kind,
        "created_at": session.created_at,
        "refreshed_at": session.refreshed_at,
        "expires_at": expires_at,
        "address": session.address,
        "agent": session.agent,
    }
