"""Group master_data: what each system of record says, in the canonical model. Unpartitioned; every version is kept."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from psa_erp_assets.defs import policies, presenting
from psa_erp_assets.defs.catalog import Catalog
from psa_erp_assets.defs.partitions import ENTITY
from psa_erp_assets.defs.resources import runtime_of

TOUCHED = "touched_time_entries"
SOURCE_KEYS = "source_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One kind of master data: where it comes from and what it is worth knowing about it."""

    name: str
    system: str
    description: str
    deps: tuple[str, ...] = ()
    pool: str = policies.ERP_POOL
    table: bool = True


KINDS = (
    _Kind(
        name="legal_entities",
        system="tryton",
        description="Companies of the group. The settings are the record; the ERP's company is found by its id or its "
        "name and must keep its books in the entity's currency. Adds the partition keys of `legal_entity`.",
    ),
    _Kind(
        name="tax_profiles",
        system="tryton",
        description="Which of the ERP's taxes an entity charges to customers of a country. The settings say which, "
        "the ERP its rate and whether it is active.",
        deps=("legal_entities",),
    ),
    _Kind(
        name="accounting_periods",
        system="tryton",
        description="Months of each entity's books, and whether they are closed. The ERP is the record; cost is held "
        "while its period is closed.",
        deps=("legal_entities",),
        table=False,
    ),
    _Kind(
        name="fx_rates",
        system="tryton",
        description="Exchange rates. The ERP is the record, so that the sync and the ledger convert alike; a missing "
        "rate holds an entry and is never taken for 1.",
    ),
    _Kind(
        name="customers",
        system="hubspot",
        description="Who is invoiced. The CRM is the record; the ERP's party is the one with the customer's code.",
        pool=policies.CRM_POOL,
    ),
    _Kind(
        name="contracts",
        system="hubspot",
        description="Signed deals of the CRM: who sells, in which currency, how work turns into billing, from when "
        "to when.",
        pool=policies.CRM_POOL,
    ),
    _Kind(
        name="projects",
        system="clockify",
        description="What time is recorded on. The PSA is the record; a signed deal gives the contract, the ERP the "
        "analytic account with the project's code.",
        pool=policies.PSA_POOL,
    ),
    _Kind(
        name="psa_users",
        system="clockify",
        description="People in the PSA, for their time zones and the e-mail address that joins them to HR.",
        pool=policies.PSA_POOL,
        table=False,
    ),
    _Kind(
        name="employees",
        system="bamboohr",
        description="Consultants. HR is the record; the PSA user is the one with the same work e-mail.",
        pool=policies.HR_POOL,
    ),
    _Kind(
        name="cost_rates",
        system="bamboohr",
        description="What an hour of an employee costs: HR's compensation history through the company's cost rule.",
        pool=policies.HR_POOL,
    ),
    _Kind(
        name="bill_rates",
        system="clockify",
        description="What an hour costs the customer: the PSA's rates of projects and of people on them.",
        deps=("employees",),
        pool=policies.PSA_POOL,
    ),
)


def assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    """One asset a kind, and the one that finds the entries which the changes touch."""
    return [*(_asset(kind, catalog) for kind in KINDS), touched_time_entries, source_keys]


def _asset(kind: _Kind, catalog: Catalog) -> dg.AssetsDefinition:
    metadata = {"dagster/column_schema": catalog.column_schema(kind.name)} if kind.table else {}

    @policies.asset(
        name=kind.name,
        group_name=policies.MASTER_DATA,
        description=kind.description,
        deps=list(kind.deps),
        kinds={kind.system, "postgres"},
        code_version="1",
        pool=kind.pool,
        metadata=metadata,
    )
    def master_data(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from psa_erp_assets.services import refresh  # noqa: PLC0415 - services are imported by runs alone

        runtime = runtime_of(context)
        found = refresh.refresh(runtime, kind.name)
        if kind.name == "legal_entities":
            context.instance.add_dynamic_partitions(ENTITY, [entity.code for entity in found.records])
        change = found.change
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(found.records),
                "added": change.added,
                "changed": change.changed,
                "removed": change.removed,
                "exceptions": found.exceptions,
                "open_exceptions": presenting.console_link(runtime.settings.console_url, "/exceptions"),
                **(_write(runtime, kind.name, found.records) if kind.table else {}),
            }
        )

    return master_data


def _write(runtime: Any, name: str, records: Any) -> presenting.Metadata:
    """Replace the lake's table of a kind."""
    from psa_erp_assets.contracts.lake_tables import LAKE_TABLES  # noqa: PLC0415
    from psa_erp_assets.services import frames  # noqa: PLC0415

    table = LAKE_TABLES[name]
    return presenting.written(runtime.lake.replace_partition(table, frames.master_data(records, table)), name)


@policies.asset(
    name=TOUCHED,
    group_name=policies.MASTER_DATA,
    description="Time entries about which changed master data now lead to another decision: a retroactive rate, a "
    "contract that was signed late, a customer that the ERP now knows. They become dirty, and their partitions are "
    "planned anew.",
    deps=[kind.name for kind in KINDS],
    kinds={"postgres"},
    code_version="1",
)
def touched_time_entries(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    from psa_erp_assets.services import sync, touched  # noqa: PLC0415

    runtime = runtime_of(context)
    count = sync.mark_touched(runtime)
    waiting = touched.touched_now(runtime)
    return dg.MaterializeResult(
        metadata={
            "entries": count,
            "partitions_waiting": presenting.markdown_table(
                ["legal entity", "service month", "contracts"],
                [(*w.partition, [c or "none" for c in w.contracts]) for w in waiting],
            ),
        }
    )


@policies.asset(
    name=SOURCE_KEYS,
    group_name=policies.MASTER_DATA,
    description="The full lists of keys of CRM and HR against what was read last: companies, deals and employees that "
    "no event told of, and those that are gone. A key that a list lacks is asked for by its id before it counts as "
    "deleted. What depends on a difference is read again at once.",
    kinds={"hubspot", "bamboohr", "postgres"},
    code_version="1",
    pool=policies.CRM_POOL,
)
def source_keys(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    from psa_erp_assets.services import key_sweep  # noqa: PLC0415 - services are imported by runs alone

    runtime = runtime_of(context)
    found = key_sweep.sweep_keys(runtime, runtime.clock())
    return dg.MaterializeResult(
        metadata={
            "missed": sum(len(f.missed) for f in found),
            "deleted": sum(len(f.deleted) for f in found),
            "keys": presenting.markdown_table(
                ["source", "object", "listed", "missed", "deleted", "not listed and still there"],
                [(f.source, f.object_type, f.listed, len(f.missed), len(f.deleted), len(f.unlisted)) for f in found],
            ),
        }
    )
