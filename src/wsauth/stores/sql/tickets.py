"""The tickets' one statement: a ticket is spent by being written down."""

from functools import cache

from wsauth.core.sessions import Limits
from wsauth.stores.sql.engine import Engine
from wsauth.stores.sql.sessions import LIVE, living

__all__ = ["SQLTickets"]


class SQLTickets:
    """Remember which tickets were used."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def burn(
        self,
        ticket_id: str,
        expires_at: float,
        limits: Limits,
        now: float,
        *,
        session_id: str | None = None,
        subject: str | None = None,
        epoch: int | None = None,
    ) -> bool:
        """Spend a ticket, durably; of many at once exactly one is told yes."""
        if expires_at <= now:  # it may be forgotten already that it was used
            return False
        statement = _burn(session_id is not None, subject is not None)
        values = {
            "id": ticket_id,
            "expires_at": expires_at,
            "session_id": session_id,
            "subject": subject,
            "epoch": epoch,
            **living(limits, now),
        }
        return await self._engine.write(lambda transaction: transaction.run(statement, values)) == 1


@cache
def _burn(of_session: bool, of_subject: bool) -> str:
    conditions = ["TRUE"]
    if of_session:
        conditions.append(f"EXISTS (SELECT 1 FROM sessions WHERE id = :session_id AND {LIVE})")  # noqa: S608  our text
    if of_subject:
        conditions.append("EXISTS (SELECT 1 FROM users WHERE username = :subject AND epoch = :epoch AND disabled = 0)")
    return f"""
        INSERT INTO tickets (id, expires_at) SELECT :id, :expires_at WHERE {" AND ".join(conditions)}
        ON CONFLICT (id) DO NOTHING
    """
