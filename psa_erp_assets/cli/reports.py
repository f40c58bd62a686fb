"""`psa-erp reports`: reports as they stood at earlier runs, and what has changed since."""

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from psa_erp_assets.cli.options import Entity, Json, Month, check_entity
from psa_erp_assets.cli.output import emit, explained, print_table, stdout
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.report_changes import CAUSES, Change, Measure
from psa_erp_assets.services import as_of
from psa_erp_assets.services.as_of import ReportingRun
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.runtime import open_prepared
from psa_erp_assets.settings import OperatorError, load_settings

app = typer.Typer(
    help="Reports as they stood at any earlier reporting run, and what has changed since, by cause.",
    no_args_is_help=True,
)

Model = Annotated[str, typer.Argument(help="A SQL model, as `psa-erp models` lists them.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values instead of tables.")]
Where = Annotated[
    list[str] | None, typer.Option("--where", help="Only rows with this value in a column: COLUMN=VALUE. Repeatable.")
]
Limit = Annotated[int, typer.Option("--limit", min=0, help="At most so many rows; 0 for all.")]
_RUN = "A run's id, latest, or a date or time: the last run by then."
From = Annotated[str, typer.Option("--from", help=f"The earlier state. {_RUN}")]
To = Annotated[str, typer.Option("--to", help=f"The later state. {_RUN}")]


class OneFormError(OperatorError):
    """JSON and comma-separated values were both asked for."""


@app.command(name="list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many runs.")] = 30, as_json: Json = False
) -> None:
    """List the reporting runs, the latest first, and whether each can still be looked at."""
    with explained(), open_prepared(load_settings()) as runtime:
        found = as_of.runs(runtime, limit=limit)
        rows = [
            (run.id, f"{run.published_at:%Y-%m-%d %H:%M:%S}", str(run.lake_snapshot), run.models,
             run.month_end, "yes" if run.kept else "no")
            for run in found
        ]  # fmt: skip
        columns = ("run", "published (UTC)", "lake state", "models", "last of", "kept")
        empty = "none yet; start the job reporting in Dagster"
        emit(as_json, lambda: to_plain(found), lambda: print_table("Reporting runs", columns, rows, empty=empty))


@app.command()
def show(
    model: Model,
    *,
    as_of_: Annotated[str | None, typer.Option("--as-of", help=f"{_RUN} Now, if left out.")] = None,
    where: Where = None,
    limit: Limit = 50,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show the rows of a model as they stood at a run, or as the lake has them now."""
    with explained():
        _one_form(as_json, as_csv)
        filters = _filters(where or [])
        with open_prepared(load_settings()) as runtime:
            run = None if as_of_ is None else as_of.find_run(runtime, as_of_)
            found = as_of.model_rows(runtime, model, run, where=filters, limit=limit or None)
        if as_csv:
            _print_csv(found.columns, found.rows)
            return
        body = {
            "model": model,
            "run": to_plain(run),
            "total": found.total,
            "rows": [dict(zip(found.columns, map(_cell, row), strict=True)) for row in found.rows],
        }
        title = f"{model} {_as_of(run)}"

        def tables() -> None:
            print_table(title, found.columns, list(found.rows), empty="no rows")
            _say_rest(len(found.rows), found.total)

        emit(as_json, lambda: body, tables)


@app.command()
def diff(
    model: Model,
    *,
    before: From,
    after: To = "latest",
    limit: Limit = 50,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show the rows of a model that were added, removed or changed between two runs."""
    with explained():
        _one_form(as_json, as_csv)
        with open_prepared(load_settings()) as runtime:
            was, now = as_of.find_run(runtime, before), as_of.find_run(runtime, after)
            found = as_of.model_changes(runtime, model, was, now, limit=limit or None)
        fields = [
            (row.kind, *row.key, column, None if row.before is None else row.before[n],
             None if row.after is None else row.after[n])
            for row in found.rows
            for n, column in enumerate(found.columns)
            if n >= len(found.grain) and (row.before is None or row.after is None or row.before[n] != row.after[n])
        ]  # fmt: skip
        headings = ("what", *found.grain, "column", "before", "after")
        if as_csv:
            _print_csv(headings, fields)
            return
        body = {
            "model": model,
            "from": to_plain(was),
            "to": to_plain(now),
            "added": found.added,
            "removed": found.removed,
            "changed": found.changed,
            "rows": [
                {
                    "what": row.kind,
                    "before": _named(found.columns, row.before),
                    "after": _named(found.columns, row.after),
                }
                for row in found.rows
            ],
        }

        def tables() -> None:
            changed = [row for row in fields if row[0] == "changed"]
            title = f"{model}, from {_as_of(was)} to {_as_of(now)}"
            total = found.added + found.removed + found.changed
            stdout.print(
                f"{title}: {found.added} added, {found.removed} removed, {found.changed} changed.", highlight=False
            )
            if changed:
                print_table("Changed", headings[1:], [row[1:] for row in changed], empty="none")
            for kind in ("added", "removed"):
                whole = [row.after or row.before or () for row in found.rows if row.kind == kind]
                if whole:
                    print_table(kind.capitalize(), found.columns, whole, empty="none")
            _say_rest(len(found.rows), total)

        emit(as_json, lambda: body, tables)


@app.command()
def changes(
    *,
    before: From,
    after: To = "latest",
    entity: Entity = None,
    month: Month = None,
    contract: Annotated[str | None, typer.Option("--contract", help="Only this contract.")] = None,
    measure: Annotated[Measure | None, typer.Option("--measure", help="Only this measure.")] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show what billed, invoiced, revenue, cost and WIP changed by between two runs, with the causes.

    By contract and month, in the currency of the entity's books. The causes come to the whole difference; what no fact
    explains is shown as unattributed.
    """
    with explained():
        _one_form(as_json, as_csv)
        settings = load_settings()
        check_entity(settings, entity)
        with open_prepared(settings) as runtime:
            was, now = as_of.find_run(runtime, before), as_of.find_run(runtime, after)
            found = as_of.changes(
                runtime, was, now, legal_entity=entity, service_month=month, contract_id=contract, measure=measure
            )
        rows = [
            (change.measure.value, change.legal_entity, change.contract_id, change.month, change.currency,
             change.before, change.after, part.cause.value, part.amount, part.items,
             part.ids[0] + (" …" if part.items > 1 else "") if part.ids else "")
            for change in found
            for part in change.parts
        ]  # fmt: skip
        columns = ("measure", "entity", "contract", "month", "currency", "before", "after", "cause", "amount",
                   "items", "of")  # fmt: skip
        if as_csv:
            _print_csv(columns, rows)
            return
        body = {"from": to_plain(was), "to": to_plain(now), "changes": [_plain(change) for change in found]}

        def tables() -> None:
            title = f"Changes from {_as_of(was)} to {_as_of(now)}"
            narrow = [
                (change.measure.value, f"{change.legal_entity} {change.contract_id or '-'} {change.month}",
                 f"{Money(change.before, change.currency)} to {Money(change.after, change.currency)}",
                 f"{part.cause.value} {Money(part.amount, change.currency)}", part.items, *(part.ids[:1] or ("",)))
                for change in found
                for part in change.parts
            ]  # fmt: skip
            print_table(title, ("measure", "of", "amount", "because", "items", "first"), narrow, empty="none")
            for cause in sorted({part.cause for change in found for part in change.parts}):
                stdout.print(f"  {cause.value}: {CAUSES[cause]}", highlight=False)

        emit(as_json, lambda: body, tables)


def _plain(change: Change) -> Any:
    return to_plain(asdict(change) | {"difference": change.difference, "unattributed": change.unattributed})


def _filters(where: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in where]
    if any(not separator for _, separator, _ in pairs):
        raise typer.BadParameter("write it as COLUMN=VALUE, such as legal_entity=UK", param_hint="--where")
    return {name.strip(): value for name, _, value in pairs}


def _one_form(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise OneFormError("--json and --csv exclude each other: give one of them")


def _print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def _named(columns: Sequence[str], row: Sequence[Any] | None) -> dict[str, Any] | None:
    return None if row is None else dict(zip(columns, map(_cell, row), strict=True))


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _as_of(run: ReportingRun | None) -> str:
    return "now" if run is None else f"run {run.id} ({run.published_at:%Y-%m-%d %H:%M} UTC)"


def _say_rest(shown: int, total: int) -> None:
    if shown < total:
        stdout.print(f"{shown:,} of {total:,}; --limit 0 shows all.", highlight=False)
