"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.Double
_EPOCH = sa.BigInteger


def upgrade() -> None:
    """Make everything that release 0.2 keeps."""
    _make_users()
    _make_sessions()
    _make_keys()
    _make_feed()


def _make_users() -> None:
    op.create_table(
        "users",
        sa.Column("folded", sa.Text, primary_key=True),
        sa.Column("username", sa.Text, nullable=False, unique=True),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("grants", sa.Text, nullable=False),
        sa.Column("epoch", _EPOCH, nullable=False),
        sa.Column("disabled", sa.Integer, nullable=False),
        sa.Column("service", sa.Integer, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("password_until", _TIME),
        sa.Column("key_tag", sa.LargeBinary, unique=True),
    )


def _make_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, sa.ForeignKey("users.username"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("generation_at", _TIME, nullable=False),
        sa.Column("epoch", _EPOCH, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("refreshed_at", _TIME, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("sessions_of", "sessions", ["subject"])
    op.create_table(
        "tickets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("expires_at", _TIME, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("tickets_end", "tickets", ["expires_at"])


def _make_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("signs_from", _TIME, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def _make_feed() -> None:
    op.create_table(
        "feed",
        # SQLite gives a number twice unless it is told not to; PostgreSQL never does.
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("keep_until", _TIME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("order_id", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("feed_end", "feed", ["keep_until"])
    op.create_index("feed_order", "feed", ["order_id"])
    op.create_table(
        "answers",
        sa.Column("order_id", sa.Text, primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("answer", sa.Text, nullable=False),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("beat_at", _TIME, nullable=False),
        sa.Column("connections", sa.Integer, nullable=False),
    )
