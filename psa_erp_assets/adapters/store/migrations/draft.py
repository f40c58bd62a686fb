"""Write the next revision from the difference between head and `schema`: `python -m …migrations.draft "Add x"`.

It works in a throw-away cluster. Read what it wrote: renames, data and append-only triggers are not drafted.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.migrate import alembic_config, migrate


def draft(message: str) -> None:
    """Add a module to `versions`, numbered after the last one."""
    number = len(list((Path(__file__).parent / "versions").glob("[0-9]*.py"))) + 1
    with tempfile.TemporaryDirectory() as folder, postgres.running(Path(folder) / "postgres") as server:
        postgres.ensure_database(server, "draft")
        engine = make_engine(server.sqlalchemy_url("draft"))
        migrate(engine)
        with engine.begin() as connection:
            command.revision(alembic_config(connection), message, autogenerate=True, rev_id=f"{number:04d}")
        engine.dispose()


if __name__ == "__main__":
    draft(sys.argv[1])
