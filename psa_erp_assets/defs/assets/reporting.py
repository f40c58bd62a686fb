"""Group reporting: the SQL models, the file that analysts open, and the lake's upkeep."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from psa_erp_assets.defs import charts, policies, presenting
from psa_erp_assets.defs.catalog import Catalog, ModelDoc, writer_of
from psa_erp_assets.defs.resources import runtime_of


def assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    """One asset a model, the reporting file, and maintenance."""
    return [
        *(_copy(copy, catalog) for copy in _COPIES),
        *(_model(doc, catalog) for doc in catalog.models.values()),
        _reporting_store(catalog),
        lake_maintenance,
    ]


@dataclass(frozen=True, slots=True)
class _Copy:
    """A lake table that reporting alone reads, and whose rows are made anew as a whole. `make` is in `frames`."""

    name: str
    make: str
    description: str
    kinds: frozenset[str] = frozenset({"postgres", "ducklake"})
    pool: str | None = None


_COPIES = (
    _Copy("company", "company", "What holds for the group as a whole: its currency. From the company's settings."),
    _Copy(
        "decided_work",
        "decided_work",
        "What is decided about each part of all approved time, expenses and milestones, and about the fees, "
        "instalments and revenue of contracts.",
    ),
    _Copy(
        "contract_balances",
        "contract_balances",
        "Running totals of what contracts have billed and earned, by component and month, as they were planned last.",
    ),
    _Copy(
        "contract_backlog",
        "contract_backlog",
        "What signed contracts will still earn, by the month in which they will, or why that cannot be told.",
    ),
    _Copy("credits", "credits_given", "Minutes of billed entries that were credited to customers, and how they go on."),
    _Copy(
        "adjustments",
        "adjustments",
        "Work that people wrote off, and what they chose for effects whose accounting period is closed.",
    ),
    _Copy(
        "account_balances",
        "account_balances",
        "What each month brings to each account of the general ledger, read from the ERP itself.",
        frozenset({"tryton", "ducklake"}),
        policies.ERP_POOL,
    ),
)


def _copy(copy: _Copy, catalog: Catalog) -> dg.AssetsDefinition:
    @policies.asset(
        name=copy.name,
        group_name=policies.REPORTING,
        description=copy.description,
        deps=["three_way_reconciliation"],
        kinds=set(copy.kinds),
        code_version="1",
        pool=copy.pool,
        metadata={"dagster/column_schema": catalog.column_schema(copy.name)},
    )
    def copied(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from psa_erp_assets.contracts.lake_tables import LAKE_TABLES  # noqa: PLC0415
        from psa_erp_assets.services import frames  # noqa: PLC0415

        runtime = runtime_of(context)
        frame = getattr(frames, copy.make)(runtime)
        result = runtime.lake.replace_partition(LAKE_TABLES[copy.name], frame)
        return dg.MaterializeResult(metadata=presenting.written(result, copy.name))

    return copied


def _model(doc: ModelDoc, catalog: Catalog) -> dg.AssetsDefinition:
    @policies.asset(
        name=doc.name,
        group_name=policies.REPORTING,
        description=f"{doc.description}\n\nGrain: {', '.join(doc.grain)}.",
        deps=[*map(writer_of, doc.inputs), *doc.tested_against],
        kinds={"sql", "ducklake"},
        tags={"layer": doc.layer},
        code_version=doc.version,
        metadata={"dagster/column_schema": catalog.column_schema(doc.name), "dagster/column_lineage": _lineage(doc)},
        check_specs=[dg.AssetCheckSpec(name, asset=doc.name, description=f"Test of {doc.name}.") for name in doc.tests],
    )
    def sql_model(
        context: dg.AssetExecutionContext,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # beside check results, Dagster understands the bare class alone
        from psa_erp_assets.services import reporting  # noqa: PLC0415 - services are imported by runs alone

        lake = runtime_of(context).lake
        built = reporting.build(lake, doc.name)
        return dg.MaterializeResult(
            metadata={**presenting.written(built.written, doc.name), **charts.of(lake, doc.name)},
            check_results=[
                dg.AssetCheckResult(
                    passed=test.passed,
                    check_name=test.name,
                    metadata={"failing_rows": test.failures, "rows": presenting.rows_table(test.sample)},
                )
                for test in built.tests
            ],
        )

    return sql_model


def _reporting_store(catalog: Catalog) -> dg.AssetsDefinition:
    @policies.asset(
        group_name=policies.REPORTING,
        description="The file `reporting.duckdb`, an ordinary DuckDB file with every staging table and mart as of one "
        "snapshot of the lake. It is put in place by a rename, so that nobody reads half of it and no writer locks it.",
        deps=list(catalog.models),
        kinds={"duckdb"},
        code_version="1",
    )
    def reporting_store(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from psa_erp_assets.services import reporting  # noqa: PLC0415

        runtime = runtime_of(context)
        published = reporting.publish(runtime)
        return dg.MaterializeResult(
            metadata={
                "tables": presenting.markdown_table(["table", "rows"], sorted(published.rows.items())),
                "lake_snapshot": published.lake_snapshot,
                "size_bytes": published.size_bytes,
                "path": dg.MetadataValue.path(published.path),
            }
        )

    return reporting_store


@policies.asset(
    group_name=policies.REPORTING,
    description="Upkeep of the lake: moves small commits into files, merges small files, and forgets past states by "
    "the policy in policies.yaml, those of reporting runs and of month-ends last. Safe beside readers and writers.",
    deps=[],
    kinds={"ducklake"},
    code_version="2",
)
def lake_maintenance(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    from psa_erp_assets.services import lake_upkeep  # noqa: PLC0415 - services are imported by runs alone

    done = lake_upkeep.maintain(runtime_of(context))
    return dg.MaterializeResult(
        metadata={
            "rows_flushed": done.rows_flushed,
            "files_merged": done.files_merged,
            "snapshots_expired": done.snapshots_expired,
            "files_removed": done.files_removed,
        }
    )


def _lineage(doc: ModelDoc) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=writer_of(name), column_name=of) for name, of in sources]
            for column, sources in doc.lineage.items()
        }
    )
