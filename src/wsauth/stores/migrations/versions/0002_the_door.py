"""What a door that defends itself remembers: failed logins, blocks, its audit log, and who must change a password."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.Double


def upgrade() -> None:
    """Make what release 0.3 keeps beside the rest."""
    op.add_column("users", sa.Column("must_change", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "login_failures",
        # Of an address, of an account, of an account from one network, or of a device.
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("level", sa.Double, nullable=False),
        sa.Column("last", _TIME, nullable=False),
        sa.Column("keep_until", _TIME, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("login_failures_end", "login_failures", ["keep_until"])
    op.create_table(
        "blocks",
        sa.Column("network", sa.Text, primary_key=True),
        sa.Column("until", _TIME),
        sa.Column("automatic", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("chain", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        # As JSON, byte for byte what the tag was made of.
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("tag", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("audit_at", "audit", ["at"])
