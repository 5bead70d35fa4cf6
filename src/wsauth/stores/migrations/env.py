"""What Alembic runs: the revisions, on the connection that `migrate` has opened, in its transaction."""

from alembic import context

from wsauth.stores.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
