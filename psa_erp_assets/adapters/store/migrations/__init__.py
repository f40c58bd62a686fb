"""Alembic's environment; `versions` holds one module a revision, and `draft` writes the next one."""
