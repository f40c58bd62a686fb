"""The operational store in PostgreSQL: tables, migrations, and one module of statements a subject."""
