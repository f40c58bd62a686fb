"""The commands of `psa-erp`. Each calls one service and prints what it answers.

Commands that start servers import them when they are called, so that `status` does not wait for Dagster to load.
"""

import os
import signal
import threading
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from psa_erp_assets.adapters import logs
from psa_erp_assets.benchmarks.result import Part
from psa_erp_assets.cli import (
    access,
    audit,
    choices,
    config,
    connections,
    exceptions,
    lineage,
    mappings,
    models,
    notify,
    plans,
    render,
    reports,
)
from psa_erp_assets.cli.options import Entity, Json, Month, Planner, chosen_partitions, planner
from psa_erp_assets.cli.output import (
    emit,
    explained,
    fail,
    print_json,
    print_table,
    progress,
    quiet_libraries,
    stderr,
    stdout,
)
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.services import gate as gates
from psa_erp_assets.services import status as statuses
from psa_erp_assets.services import sync
from psa_erp_assets.services.connections import connections as all_connections
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.planning import apply_plan, partition_of
from psa_erp_assets.services.posting_policy import EngineReport
from psa_erp_assets.services.read_back import read_back
from psa_erp_assets.services.reconciliation import Reconciliation, reconcile
from psa_erp_assets.services.refresh import refresh_all
from psa_erp_assets.services.runtime import open_prepared, open_runtime
from psa_erp_assets.settings import OperatorError, load_settings


class LeftOverError(OperatorError):
    """Postings that were planned have not reached the ERP."""


app = typer.Typer(
    name="psa-erp",
    help="The control plane between professional-services automation and ERP systems.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(plans.app, name="plan")
app.add_typer(exceptions.app, name="exceptions")
app.add_typer(choices.periods, name="periods")
app.add_typer(config.app, name="config")
app.add_typer(mappings.app, name="mappings")
app.add_typer(access.users, name="users")
app.add_typer(access.tokens, name="tokens")
app.add_typer(audit.app, name="audit")
app.add_typer(notify.app, name="notify")
app.add_typer(reports.app, name="reports")


def main() -> None:
    """Entry point of the `psa-erp` script."""
    quiet_libraries()
    logs.configure()
    app()


class What(StrEnum):
    """What `extract` reads."""

    ALL = "all"
    MASTER = "master"
    TIME = "time"


@app.command()
def extract(
    what: Annotated[What, typer.Argument(help="Master data, time, or both.")] = What.ALL,
    complete: Annotated[bool, typer.Option(help="Read all time and look for deletes, not just what is new.")] = False,
    as_json: Json = False,
) -> None:
    """Read master data and time from the source systems. Posts nothing."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            body: dict[str, object] = {}
            if what is not What.TIME:
                with progress() as bar:
                    task = bar.add_task("master data", total=None)
                    refreshed = refresh_all(
                        runtime,
                        on_step=lambda done, of, name: bar.update(
                            task, completed=done, total=of, description=f"master data: {name}"
                        ),
                    )
                body["master_data"] = {
                    r.object_type: to_plain(r.change) | {"exceptions": r.exceptions} for r in refreshed
                }
            if what is not What.MASTER:
                with stderr.status("time entries"):
                    body["time"] = to_plain(sync.sweep(runtime, complete=complete))
                    body["touched"] = sync.mark_touched(runtime)
            emit(as_json, lambda: body, lambda: render.extracted(body))


@app.command()
def apply(
    plan_id: Annotated[int | None, typer.Argument(help="A plan's id, as `psa-erp plan` printed it.")] = None,
    entity: Entity = None,
    month: Month = None,
    by: Planner = None,
    as_json: Json = False,
) -> None:
    """Bring the ERP to where it should be: apply one plan, or plan and apply until nothing is left to do.

    What needs somebody's approval waits for it.
    """
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            if plan_id is not None:
                touched = apply_plan(runtime.engine, runtime.scope, plan_id, now=runtime.clock())
                report = sync.send(runtime, partition_of(runtime.engine, runtime.scope, plan_id))
                body: object = {"plan": plan_id, "postings": touched, "states": to_plain(report)["states"]}
                emit(as_json, lambda: body, lambda: stdout.print(f"Plan {plan_id}: {touched} postings."))
                _refuse_left_over([report])
                return
            partitions = chosen_partitions(settings, sync.all_partitions(runtime), entity, month)
            with progress() as bar:
                settled = [
                    sync.sync_partition(runtime, partition, created_by=planner(by))
                    for partition in bar.track(partitions, description="posting")
                ]
        rows = [
            (*s.partition, action, effect, number)
            for s in settled
            for (action, effect), number in sorted(s.actions.items())
        ]
        columns = ("entity", "month", "action", "effect", "items")
        emit(
            as_json,
            lambda: [dict(zip(columns, row, strict=True)) for row in rows],
            lambda: print_table("Applied", columns, rows, empty="nothing to do"),
        )
        for plan in (s.plan for s in settled if s.plan is not None and s.plan.waits):
            why = "; ".join(plan.approval_reasons)
            stderr.print(
                f"Plan {plan.id} ({' '.join(plan.partition)}) was not applied: it is {plan.status} and needs approval"
                f" ({why}). `psa-erp plan show {plan.id}` shows it.",
                highlight=False,
            )
        _refuse_left_over([s.engine[-1] for s in settled if s.engine])


def _refuse_left_over(reports: Sequence[EngineReport]) -> None:
    """Say what did not reach the ERP. Raises LeftOverError, so that the command fails where anything is left."""
    paused = sorted({reason for report in reports for reason in report.paused.values()})
    left = sum(report.under_way for report in reports)
    if paused or left:
        why = "; ".join(paused) or "the ERP has not answered yet"
        raise LeftOverError(
            f"{left} posting(s) have not reached the ERP: {why}. Nothing is lost and nothing is sent twice: clear the"
            " cause and run the same command again. `psa-erp status` shows what waits, `psa-erp exceptions` why."
        )


@app.command(name="reconcile")
def reconcile_(
    entity: Entity = None,
    month: Month = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Fail if anything is unexplained: a release or a month-end must not go on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare approved time, the ERP's billing lines and posted invoices, as the ERP has them now.

    With --gate it exits with 1 where a difference, a posting of any kind or an account of the general ledger is
    unexplained, and says which; also where there was nothing to compare.
    """
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            partitions = chosen_partitions(settings, sync.all_partitions(runtime), entity, month)
            results: list[Reconciliation] = []
            with progress() as bar:
                for partition in bar.track(partitions, description="reading the ERP"):
                    read_back(runtime, partition)
                    results.append(reconcile(runtime, partition))
            judged = gates.of_results(runtime, results) if gate else None
        bodies = [render.reconciliation_body(r) for r in results]
        if judged is None:
            emit(as_json, lambda: bodies, lambda: render.reconciliations(results))
            return
        if as_json:
            print_json({"passed": judged.passed, "gate": to_plain(judged), "reconciliations": bodies})
        else:
            render.reconciliations(results)
            render.gate(judged)
        if not judged.partitions:
            fail("there is no work in what was chosen, so nothing was compared", "Look at --entity and --month.")
        if not judged.passed:
            fail(f"{len(judged.findings)} unexplained", "Take each one's next step, or open it: `psa-erp trace ID`.")


@app.command()
def trace(
    any_id: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Of work (the source's own or time_entry:clockify:…), a posting, an ERP line or invoice, a contract;"
            " or plan:12, payload:7, delivery:3.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """The whole story of what an ID is the id of: of work from payload to payment, of an invoice back to its work.

    Where it is the id of several things, they are listed.
    """
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            body, draw = lineage.shown(connection, settings.tenant, any_id)
        emit(as_json, body, draw)


@app.command()
def status(as_json: Json = False) -> None:
    """Where the sync stands: what came in, what waits, what is posted, what is in trouble, how each system fares."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            found = statuses.status(connection, settings.tenant)
            systems = all_connections(connection, settings.tenant)

        def tables() -> None:
            render.status(found)
            connections.table(systems)

        emit(as_json, lambda: found.to_dict() | connections.body(systems), tables)


@app.command()
def demo(
    erp: Annotated[Kind, typer.Option(help="Tryton as it comes, or with the companion module.")] = Kind.COMPANION,
    as_json: Json = False,
) -> None:
    """Play two service months of a consulting firm against a real ERP, from nothing."""
    from psa_erp_assets.cli import demo as story

    with explained():
        story.run(os.environ, kind=erp, as_json=as_json)


@app.command()
def up() -> None:
    """Start everything for work and keep it running until Ctrl-C: Dagster, the console, and the demo's servers."""
    from psa_erp_assets.cli.serving import say_first_link
    from psa_erp_assets.cli.up import running_stack, watch

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with explained(), running_stack(os.environ) as (settings, processes):
        stdout.print(
            f"Dagster  {settings.dagster_url}\nconsole  {settings.console_url}\nStop with Ctrl-C.", highlight=False
        )
        with open_runtime(settings) as runtime:
            say_first_link(runtime)
        watch(processes, stop)


@app.command()
def bench(
    only: Annotated[Part | None, typer.Option(help="Measure one part alone.")] = None,
    entries: Annotated[
        int | None,
        typer.Option(min=1000, help="How many facts are planned (1,000,000), or are behind the marts (10,000,000)."),
    ] = None,
) -> None:
    """Measure what matters on this machine, in a home of its own, and write bench/results.json."""
    from psa_erp_assets.cli import bench as benchmarks

    with explained():
        benchmarks.run(os.environ, only=only, entries=entries)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option("--host", help="The address to listen at; others than loopback ask for accounts.")
    ] = ("127.0.0.1"),
) -> None:
    """Start the console alone: webhooks in, pages and API out. Behind it the stores, nothing else."""
    from psa_erp_assets.cli.serving import check_host, console_app, port_of, say_first_link
    from psa_erp_assets.console.serving import serve as serve_console

    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            check_host(runtime, host)
            stderr.print(f"console on {settings.console_url}", highlight=False)
            say_first_link(runtime)
            serve_console(console_app(runtime), host=host, port=port_of(settings.console_url))


app.command()(exceptions.replay)
app.command()(models.models)
app.command()(choices.rollout)
app.command()(choices.credit)
