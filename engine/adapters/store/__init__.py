"""The store: one schema and one set of statements, over SQLite and over PostgreSQL."""
