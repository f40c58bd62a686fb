"""The reporting file: an ordinary DuckDB file of marts and staging tables that any tool opens and no writer locks.

It is written beside the old one and takes its place by an atomic rename. Whoever has the old file open goes on
reading it undisturbed; whoever opens the path gets a whole file, the old or the new.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from psa_erp_assets.adapters.duck_sql import comment_statements, identifier, literal
from psa_erp_assets.adapters.lake import Lake
from psa_erp_assets.adapters.sql_models import Layer, SqlModel

# What analysts get: intermediate models are the marts' own business.
PUBLISHED_LAYERS = frozenset({Layer.STAGING, Layer.MARTS})
_ABOUT = {
    "published_at": "When the file was written, UTC.",
    "lake_snapshot": "Snapshot of the lake that every table is of.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was published: rows by table, the lake's snapshot that all of them are of, and the file's size."""

    path: Path
    rows: Mapping[str, int]
    lake_snapshot: int
    size_bytes: int


def publish(lake: Lake, models: Sequence[SqlModel], path: Path) -> Published:
    """Write the published models, as they are in one snapshot of the lake, to a new file in the place of `path`.

    Publishers queue, so that an older state never replaces a newer one. On any error `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path) as folder:
        draft = folder / path.name
        rows, snapshot = _write(lake, [m for m in models if m.layer in PUBLISHED_LAYERS], draft)
        with draft.open("rb") as handle:
            # Before the rename: after a power cut the path must not lead to a file without its content.
            os.fsync(handle.fileno())
        size = draft.stat().st_size
        draft.replace(path)
    return Published(path=path, rows=rows, lake_snapshot=snapshot, size_bytes=size)


def _write(lake: Lake, models: Sequence[SqlModel], draft: Path) -> tuple[dict[str, int], int]:
    # Attached databases belong to the whole DuckDB instance, which threads share: the name must be nobody else's.
    report = f"report_{uuid.uuid4().hex}"
    with lake.connection() as connection:
        connection.execute(f"ATTACH {literal(str(draft))} AS {report}")
        try:
            connection.begin()
            rows = {}
            for model in models:
                name = identifier(model.name)
                connection.execute(f"CREATE TABLE {report}.{name} AS SELECT * FROM lake.{name}")
                count = connection.execute(f"SELECT count(*) FROM {report}.{name}").fetchone()
                rows[model.name] = count[0] if count else 0
            connection.execute(
                f"CREATE TABLE {report}.publication AS"
                " SELECT now() AS published_at, max(snapshot_id) AS lake_snapshot FROM lake.snapshots()"
            )
            found = connection.execute(f"SELECT lake_snapshot FROM {report}.publication").fetchone()
            connection.execute(f"USE {report}")
            for model in models:
                meanings = {column.name: column.description for column in model.columns}
                for statement in comment_statements(model.name, "TABLE", model.description, meanings):
                    connection.execute(statement)
            for statement in comment_statements("publication", "TABLE", "When and from what this file is.", _ABOUT):
                connection.execute(statement)
            connection.commit()
            connection.execute(f"CHECKPOINT {report}")
        except duckdb.Error:
            connection.rollback()
            raise
        finally:
            connection.execute("USE lake")
            connection.execute(f"DETACH {report}")
    return rows, int(found[0]) if found else 0


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """A scratch folder on the same file system, for one publisher at a time; what killed ones left is removed."""
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        prefix = f".{path.name}.draft-"
        for left in path.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as folder:
            yield Path(folder)
