"""The schema and its revisions."""

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from wsauth.stores import migrations, open_store


def test_the_head_is_the_last_revision() -> None:
    """Whoever adds a revision has to say so, in a file that is named by its number."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == migrations.HEAD
    assert {revision.revision for revision in script.walk_revisions()} == migrations.known()


async def test_numbers_of_the_feed_are_never_given_again(tmp_path: Path) -> None:
    """SQLite has to be told so, and it is."""
    store = open_store(f"sqlite:///{tmp_path}/wsauth.db")
    await store.open()
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / "wsauth.db")) as connection:
        (schema,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'feed'").fetchone()
        assert "AUTOINCREMENT" in schema
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT version_num FROM wsauth_version").fetchone() == (migrations.HEAD,)
