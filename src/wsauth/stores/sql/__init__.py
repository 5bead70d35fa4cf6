"""The statements, in SQL that SQLite and PostgreSQL both read; whoever runs them is an `Engine`."""
