"""Somebody else's logins: accounts of other issuers, and what is known of a session that began at a provider."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TIME = sa.Double


def upgrade() -> None:
    """Make what release 0.4 keeps beside the rest."""
    op.add_column("users", sa.Column("issuer", sa.Text, nullable=False, server_default="wsauth"))
    op.add_column("users", sa.Column("foreign_subject", sa.Text, nullable=False, server_default=""))
    op.add_column("sessions", sa.Column("provider", sa.Text, nullable=False, server_default=""))
    op.add_column("sessions", sa.Column("vouched_until", _TIME))
    op.add_column("sessions", sa.Column("auth_time", _TIME))
    op.add_column("sessions", sa.Column("acr", sa.Text, nullable=False, server_default=""))
    # The login at the provider, when it said so, and what asks it again: wrapped by the key file.
    op.add_column("sessions", sa.Column("provider_session", sa.Text))
    op.add_column("sessions", sa.Column("issued_at", _TIME))
    op.add_column("sessions", sa.Column("refresh_token", sa.LargeBinary))
    op.add_column("sessions", sa.Column("asked_at", _TIME))
    op.create_index("sessions_at_provider", "sessions", ["provider_session"])
