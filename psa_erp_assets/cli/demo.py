"""The demo: two service months of a consulting firm, billed, invoiced, corrected and reconciled in a real ERP.

Everything that the sync does goes through Dagster, as in production; people (consultants, approvers, finance) act
through the vendors' own APIs. The figures of the summary are read from the ERP when all is over.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.progress import Progress

from psa_erp_assets.adapters.store.plans import StoredPlan
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.cli.demo_story import Story
from psa_erp_assets.cli.demo_summary import Summary, count_postings, show, summarize
from psa_erp_assets.cli.output import progress, stderr, stdout
from psa_erp_assets.cli.serving import running_console
from psa_erp_assets.definitions import build_defs
from psa_erp_assets.defs.home import prepare_dagster_home
from psa_erp_assets.defs.runs import Request, Runs, run_processes
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.sandbox.company_plot import plot_of
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.sandbox.world import World, reset, running_world, subscribe
from psa_erp_assets.services import sync
from psa_erp_assets.services.reconciliation import Reconciliation, reconcile
from psa_erp_assets.services.runtime import DAGSTER_DATABASE, Runtime, open_runtime
from psa_erp_assets.settings import OperatorError, load_settings

_STEPS = 14
# A month leaves its totals to the next one, and that to the one after it.
_ROUNDS = 6


class UnsettledError(OperatorError):
    """Something is touched again however often it is synchronized."""


def run(environ: Mapping[str, str], *, kind: Kind, as_json: bool) -> Summary:
    """Play the demo from nothing and write `demo/summary.json` in the home. Raises what its parts raise."""
    began = time.monotonic()
    settings = load_settings(environ)
    reset(settings)
    with progress() as bar:
        steps = _Steps(bar)
        with (
            # Their definitions load while Tryton is built.
            run_processes(build_defs) as processes,
            running_world(environ, steps.say, kind=kind) as world,
            running_console(subscribe(world, environ)),
        ):
            settings = load_settings(environ)
            _, variables = prepare_dagster_home(settings.home / "dagster", world.server.dagster_url(DAGSTER_DATABASE))
            with open_runtime(settings) as runtime:
                summary, results = _play(world, runtime, Runs(processes, variables), steps, began)
    path = settings.home / "demo" / "summary.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    if as_json:
        stdout.print_json(data=asdict(summary))
    else:
        show(summary, results, settings, path)
    return summary


def _play(
    world: World, runtime: Runtime, runs: Runs, steps: "_Steps", began: float
) -> tuple[Summary, Sequence[Reconciliation]]:
    story = Story(world, runtime, plot_of(world.company))
    with steps.step("reading CRM, HR, PSA and ERP"):
        runs.run(Request(job="extraction"))
    partitions = sync.all_partitions(runtime)
    first = min(ServiceMonth.parse(month) for _, month in partitions)
    in_first = [p for p in partitions if p[1] == str(first)]
    with steps.step("posting draft lines and costs", of=len(partitions)) as advance:
        runs.run_all([Request(job="near_real_time", partition=partition) for partition in partitions], advance)
        _settle(runtime, runs)
    with steps.step(f"finance invoices {first}, and cancels an invoice"):
        story.invoice(in_first)
    with steps.step("edits, moves, new terms, a credit: second thoughts"):
        story.change_minds()
    with steps.step("withdrawing, crediting, rebilling"):
        runs.run(Request(job="extraction"))
        # What finance has cancelled is seen when the month is read back, and billed again by the next run.
        [cancelled] = [p for p in in_first if p[0] == story.cancels]
        _settle(runtime, runs, Request(job="month_sync", partition=cancelled), waiting=story.waiting)
        runs.run(Request(job="near_real_time", partition=cancelled))
    with steps.step("a credit above the limit waits for the head of finance"):
        approved = story.approve_plans()
        _settle(runtime, runs)
    with steps.step(f"{story.closes} closes {first}; late approvals"):
        story.close_month(first)
    with steps.step("what is late waits for the controller's choice"):
        runs.run(Request(job="extraction"))
        _settle(runtime, runs)
        story.choose(first)
        _settle(runtime, runs)
    before = count_postings(runtime)
    with steps.step("syncing again, which changes nothing", of=len(partitions)) as advance:
        runs.run_all([Request(job="month_sync", partition=partition) for partition in partitions], advance)
    second = count_postings(runtime) - before
    with steps.step("checking all tables, building the reporting store"):
        failed_checks = runs.run_all([Request(job="reporting"), Request(job="table_checks")])
    # The last syncs have read the whole ERP back; what they found is what the summary counts.
    results = [reconcile(runtime, partition) for partition in partitions]
    summary = summarize(
        runtime,
        partitions,
        results,
        seconds=time.monotonic() - began,
        postings_of_a_second_sync=second,
        approved=approved,
        failed_checks=failed_checks,
    )
    return summary, results


def _settle(
    runtime: Runtime, runs: Runs, *others: Request, waiting: Callable[[], Sequence[StoredPlan]] = tuple
) -> None:
    """Runs of what is touched, after `others`, until nothing is but what waits for approval. Raises UnsettledError."""
    for _ in range(_ROUNDS):
        left = _partitions(others) | {plan.partition for plan in waiting()}
        touched = {p: c for p, c in sync.touched_partitions(runtime).items() if p not in left}
        requests = [Request(job="near_real_time", partition=p, contracts=contracts) for p, contracts in touched.items()]
        if not requests and not others:
            return
        runs.run_all([*others, *requests])
        others = ()
    raise UnsettledError(f"still touched after {_ROUNDS} rounds: {sorted(sync.touched_partitions(runtime))}")


def _partitions(requests: Sequence[Request]) -> frozenset[Partition]:
    return frozenset(request.partition for request in requests if request.partition is not None)


class _Steps:
    """The progress bars of the demo: one for all, one for the step at hand."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._all = bar.add_task("starting", total=_STEPS)
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        """The next step begins. Where there is no terminal to draw on, a line says so."""
        if not stderr.is_terminal:
            stderr.print(f"{time.monotonic() - self._began:6.1f} s  {what}", highlight=False)
        self._bar.update(self._all, description=what)
        self._bar.advance(self._all)

    @contextmanager
    def step(self, what: str, of: int | None = None) -> Iterator[Any]:
        """A step, with a bar of its own where it has parts."""
        self.say(what)
        if of is None:
            yield lambda: None
            return
        own = self._bar.add_task(f"  {what}", total=of)
        yield lambda: self._bar.advance(own)
        self._bar.remove_task(own)
