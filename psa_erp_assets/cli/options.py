"""Options that several commands have, and what they choose."""

import getpass
from collections.abc import Sequence
from typing import Annotated

import typer

from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.cli.output import fail
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Entity = Annotated[str | None, typer.Option("--entity", help="Only this legal entity, e.g. UK.")]
Month = Annotated[str | None, typer.Option("--month", help="Only this service month, e.g. 2026-09.")]
By = Annotated[str, typer.Option("--by", help="Who you are, for the record.")]
Planner = Annotated[
    str | None, typer.Option("--by", help="Who makes the plan, and so cannot approve it; else whoever is logged in.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


def planner(by: str | None) -> str:
    """Who makes a plan: as given, or whoever is logged in."""
    if by is not None and by.strip():
        return by.strip()
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        # An account without a name, as containers have them.
        return "psa-erp"


def check_entity(settings: Settings, entity: str | None) -> None:
    """An unknown entity is an error, not an empty choice."""
    if entity is not None and entity not in settings.entity_codes:
        fail(f"there is no legal entity {entity!r}", f"The settings have {', '.join(settings.entity_codes)}.")


def chosen_partitions(
    settings: Settings, known: Sequence[Partition], entity: str | None, month: str | None
) -> list[Partition]:
    """The partitions that the options choose. An unknown entity or month is an error, not an empty choice."""
    check_entity(settings, entity)
    if month is not None:
        try:
            ServiceMonth.parse(month)
        except ValueError as error:
            fail(str(error), "Months with time are " + ", ".join(sorted({m for _, m in known})) + ".")
    return [p for p in known if entity in (None, p[0]) and month in (None, p[1])]
