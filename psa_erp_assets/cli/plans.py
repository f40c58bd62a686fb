"""`psa-erp plan`: what a sync would do, and the review of what is not done without somebody's approval."""

from typing import Annotated

import typer

from psa_erp_assets.cli import render
from psa_erp_assets.cli.options import By, Entity, Json, Month, Planner, chosen_partitions, planner
from psa_erp_assets.cli.output import emit, explained, stdout
from psa_erp_assets.services import plan_report, plan_review, planning, sync
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.plan_report import PlanStatus
from psa_erp_assets.services.runtime import open_prepared
from psa_erp_assets.settings import load_settings

app = typer.Typer()

PlanId = Annotated[int, typer.Argument(help="A plan's id, as `psa-erp plan` or `psa-erp plan list` printed it.")]
Note = Annotated[str, typer.Option("--note", help="Why, for the record.")]


@app.callback(invoke_without_command=True)
def plan(
    context: typer.Context, entity: Entity = None, month: Month = None, by: Planner = None, as_json: Json = False
) -> None:
    """Print what a sync would do to the ERP, and why. Posts nothing; the plans can be applied as they are.

    Without a command below: plans anew.
    """
    if context.invoked_subcommand is not None:
        return
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            plans = [
                sync.propose(runtime, partition, created_by=planner(by))
                for partition in chosen_partitions(settings, sync.all_partitions(runtime), entity, month)
            ]
            reports = [plan_report.plan_report(runtime.engine, runtime.scope, made.id) for made in plans]
            emit(
                as_json,
                lambda: [
                    render.plan_body(made, report, planning.items_of(runtime.engine, made))
                    for made, report in zip(plans, reports, strict=True)
                ],
                lambda: render.plans(reports),
            )


@app.command()
def show(plan_id: PlanId, as_json: Json = False) -> None:
    """One plan: what it does by contract, why, and who has reviewed it."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            report = plan_report.plan_report(runtime.engine, runtime.scope, plan_id)
        emit(as_json, lambda: to_plain(report), lambda: render.plan(report))


@app.command(name="list")
def list_(
    status: Annotated[PlanStatus | None, typer.Option("--status", help="Only plans that stand there.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the latest first.")] = 50,
    as_json: Json = False,
) -> None:
    """The latest plans: who made them, where they stand, and what waits for approval."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            found = plan_report.list_plans(connection, settings.tenant, status=status, limit=limit)
        emit(as_json, lambda: [to_plain(row) for row in found], lambda: render.plan_list(found))


@app.command()
def approve(plan_id: PlanId, by: By, note: Note, as_json: Json = False) -> None:
    """Approve a plan that waits; whoever made it cannot. `psa-erp apply ID`, or the next run, then applies it."""
    _review(plan_id, approve=True, by=by, note=note, as_json=as_json)


@app.command()
def reject(plan_id: PlanId, by: By, note: Note, as_json: Json = False) -> None:
    """Reject a plan that waits; whoever made it cannot. No run proposes it again until facts change."""
    _review(plan_id, approve=False, by=by, note=note, as_json=as_json)


def _review(plan_id: int, *, approve: bool, by: str, note: str, as_json: bool) -> None:
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            plan_review.review(
                runtime.engine,
                runtime.scope,
                plan_id,
                approve=approve,
                reviewed_by=by,
                note=note,
                now=runtime.clock(),
            )
            report = plan_report.plan_report(runtime.engine, runtime.scope, plan_id)
        then = f" `psa-erp apply {plan_id}` applies it." if approve else ""
        emit(
            as_json,
            lambda: to_plain(report.plan),
            lambda: stdout.print(f"Plan {plan_id} is {report.plan.status}.{then}", highlight=False),
        )
