"""What the definitions know of lake tables, contracts and SQL models: names, columns, lineage, tests. Kept in a file.

To read them takes pandera, DuckDB, a SQL parser and some seconds, and every run's process loads the definitions anew.
So what they come to is kept under the checksum of all that it is made of, and a run reads just that file.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from psa_erp_assets.settings import REPOSITORY, SQL_MODELS

_PACKAGE = REPOSITORY / "psa_erp_assets"
# Assets whose name says more than that of the table that they write.
_WRITER_OF = {"postings": "posting_ledger", "reconciliation": "three_way_reconciliation"}


def writer_of(name: str) -> str:
    """The asset that writes a lake table or is a model."""
    return _WRITER_OF.get(name, name)


@dataclass(frozen=True, slots=True)
class ColumnDoc:
    """A column, its type and what it means."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDoc:
    """A lake table."""

    name: str
    description: str
    columns: tuple[ColumnDoc, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDoc:
    """A SQL model. `inputs` are tables and models, `lineage` the (input, column) pairs behind each column.

    `tested_against` are models that its tests alone read. `version` changes with the model's SQL.
    """

    name: str
    layer: str
    description: str
    grain: tuple[str, ...]
    inputs: tuple[str, ...]
    columns: tuple[ColumnDoc, ...]
    lineage: Mapping[str, tuple[tuple[str, str], ...]]
    tests: tuple[str, ...]
    tested_against: tuple[str, ...]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractDoc:
    """A contract on a lake table's rows. `expected_dirt` says that people break it and people mend it."""

    name: str
    description: str
    table: str
    expected_dirt: bool


@dataclass(frozen=True)
class Catalog:
    """Tables and models by name, the models in an order in which each comes after its inputs; and all contracts."""

    tables: Mapping[str, TableDoc]
    models: Mapping[str, ModelDoc]
    contracts: tuple[ContractDoc, ...]

    @cached_property
    def columns(self) -> Mapping[str, tuple[ColumnDoc, ...]]:
        """The columns of every table and model."""
        return {name: doc.columns for name, doc in self.tables.items()} | {
            name: doc.columns for name, doc in self.models.items()
        }

    def column_schema(self, name: str) -> dg.TableSchema:
        """The columns of a table or model as Dagster shows them."""
        return dg.TableSchema(
            columns=[dg.TableColumn(c.name, c.type, description=c.description) for c in self.columns[name]]
        )


def load_catalog(cache: Path, models: Path = SQL_MODELS) -> Catalog:
    """The catalog, from the folder `cache` if it is there, else read anew and left there.

    Raises SqlModelError for models that cannot be used.
    """
    kept = cache / f"catalog-{_checksum(models)}.json"
    try:
        return _from_body(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        # Not there yet, or cut off by a full disk: it is only a copy.
        catalog = _read(models)
    _keep(catalog, kept)
    return catalog


def _read(folder: Path) -> Catalog:
    from psa_erp_assets.adapters.sql_models import load_models  # noqa: PLC0415 - seconds; see the module's text
    from psa_erp_assets.contracts.boundaries import BOUNDARIES  # noqa: PLC0415
    from psa_erp_assets.contracts.lake_tables import LAKE_TABLES  # noqa: PLC0415

    tables = {
        name: TableDoc(
            name=name,
            description=table.description,
            columns=tuple(
                ColumnDoc(field.name, str(field.type), table.comments()[field.name]) for field in table.schema
            ),
        )
        for name, table in LAKE_TABLES.items()
    }
    models = {
        model.name: ModelDoc(
            name=model.name,
            layer=model.layer.value,
            description=model.description,
            grain=tuple(model.grain),
            inputs=tuple(model.inputs),
            columns=tuple(ColumnDoc(c.name, c.type, c.description) for c in model.columns),
            lineage={name: tuple(pairs) for name, pairs in model.column_lineage.items()},
            tests=tuple(test.name for test in model.tests),
            tested_against=tuple(model.tested_against),
            version=hashlib.sha256(model.sql.encode()).hexdigest()[:12],
        )
        for model in load_models(folder, LAKE_TABLES.values())
    }
    contracts = tuple(
        ContractDoc(name=c.name, description=c.description, table=c.table.name, expected_dirt=c.expected_dirt)
        for c in BOUNDARIES
    )
    return Catalog(tables, models, contracts)


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    code = [Path(__file__), _PACKAGE / "adapters" / "sql_models.py", *(_PACKAGE / "contracts").glob("*.py")]
    for path in sorted([*code, *folder.rglob("*.sql"), *folder.rglob("*.yaml")]):
        content = path.read_bytes()
        digest.update(f"{path.name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()[:24]


def _keep(catalog: Catalog, kept: Path) -> None:
    body = {
        "tables": [asdict(table) for table in catalog.tables.values()],
        "models": [asdict(model) for model in catalog.models.values()],
        "contracts": [asdict(contract) for contract in catalog.contracts],
    }
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=kept.parent, encoding="utf-8", delete=False) as draft:
            json.dump(body, draft)
        os.replace(draft.name, kept)  # noqa: PTH105 - atomic beside a process that does the same
    except OSError:
        # A read-only folder costs time at each start and nothing else.
        return
    for old in kept.parent.glob("catalog-*.json"):
        if old != kept:
            old.unlink(missing_ok=True)


def _from_body(body: Any) -> Catalog:
    tables = [TableDoc(**(row | {"columns": _columns(row)})) for row in body["tables"]]
    models = [
        ModelDoc(
            **row
            | {
                "columns": _columns(row),
                "grain": tuple(row["grain"]),
                "inputs": tuple(row["inputs"]),
                "tests": tuple(row["tests"]),
                "tested_against": tuple(row["tested_against"]),
                "lineage": {name: tuple((i, c) for i, c in pairs) for name, pairs in row["lineage"].items()},
            }
        )
        for row in body["models"]
    ]
    contracts = tuple(ContractDoc(**row) for row in body["contracts"])
    return Catalog({t.name: t for t in tables}, {m.name: m for m in models}, contracts)


def _columns(row: Any) -> tuple[ColumnDoc, ...]:
    return tuple(ColumnDoc(**column) for column in row["columns"])
