"""Run by alembic: migrate over the connection, and in the transaction, that `leadline.store.migrate` holds."""

from alembic import context

from leadline.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
