"""The demo: two service months of a consulting firm, billed, invoiced, corrected and reconciled in a real ERP.

Everything that the sync does goes through Dagster, as in production; people (consultants, approvers, finance) act
through the vendors' own APIs. The figures of the summary are read from the ERP when all is over.
"""

import datetime as dt
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.progress import Progress
from sqlalchemy import Row

from psa_erp_assets.adapters.connectors.tryton.read_back import BookedDocument
from psa_erp_assets.adapters.store import erp_documents
from psa_erp_assets.adapters.store.time_entries import Partition
from psa_erp_assets.cli.output import hours, print_table, progress, stderr, stdout
from psa_erp_assets.cli.serving import running_console
from psa_erp_assets.definitions import build_defs
from psa_erp_assets.defs.home import prepare_dagster_home
from psa_erp_assets.defs.runs import Request, Runs, run_processes
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.sandbox.world import World, reset, running_world, subscribe
from psa_erp_assets.services import exception_items, sync
from psa_erp_assets.services import status as statuses
from psa_erp_assets.services.read_back import erp_company
from psa_erp_assets.services.reconciliation import Minutes, Reconciliation, reconcile
from psa_erp_assets.services.runtime import DAGSTER_DATABASE, Runtime, open_runtime
from psa_erp_assets.settings import Settings, load_settings

_STEPS = 11
_HINTS_SECONDS = 60.0
# A legal entity's lines that finance puts on invoices in the demo, more or less: whole projects.
_LINES_INVOICED = 10


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the demo ends with. Minutes, counts, and amounts as text by entity and currency."""

    seconds: float
    approved_minutes: int
    billed_minutes: int
    non_billable_minutes: int
    held_minutes: int
    pending_minutes: int
    postings: int
    erp_documents_read_back: int
    duplicates: int
    unexplained_differences: int
    postings_of_a_second_sync: int
    open_exceptions: Mapping[str, int]
    open_exceptions_by_code: Mapping[str, int]
    amounts: Sequence[Mapping[str, str | int]]


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
        _print(summary, results, settings, path)
    return summary


def _play(
    world: World, runtime: Runtime, runs: Runs, steps: "_Steps", began: float
) -> tuple[Summary, Sequence[Reconciliation]]:
    with steps.step("reading CRM, HR, PSA and ERP"):
        runs.run(Request(job="extraction"))
    partitions = sync.all_partitions(runtime)
    with steps.step("posting draft lines and costs", of=len(partitions)) as advance:
        runs.run_all([Request(job="near_real_time", partition=partition) for partition in partitions], advance)
    first_month = min(month for _, month in partitions)
    with steps.step(f"finance invoices {first_month}"):
        _invoice(world, runtime, [p for p in partitions if p[1] == first_month])
    with steps.step("late edits, deletions, a new rate"):
        _change_minds(world, runtime)
    with steps.step("withdrawing, crediting, rebilling"):
        runs.run(Request(job="extraction"))
        touched = sync.touched_partitions(runtime).items()
        runs.run_all([Request(job="near_real_time", partition=p, contracts=contracts) for p, contracts in touched])
    before = _postings(runtime)
    with steps.step("syncing again, which changes nothing", of=len(partitions)) as advance:
        runs.run_all([Request(job="month_sync", partition=partition) for partition in partitions], advance)
    second = _postings(runtime) - before
    with steps.step("checking all tables, building the reporting store"):
        runs.run_all([Request(job="reporting"), Request(job="table_checks")])
    # The last syncs have read the whole ERP back; what they found is what the summary counts.
    results = [reconcile(runtime, partition) for partition in partitions]
    documents = _documents(runtime, partitions)
    with runtime.engine.connect() as connection:
        groups = exception_items.group_exceptions(connection, runtime.settings.tenant)
    by_class: Counter[str] = Counter()
    for group in groups:
        by_class[group.fault_class] += group.items
    minutes = [r.minutes for r in results]
    summary = Summary(
        seconds=round(time.monotonic() - began, 1),
        **_sum(minutes),
        postings=_postings(runtime),
        erp_documents_read_back=sum(map(len, documents.values())),
        duplicates=_duplicates(documents),
        unexplained_differences=sum(not row.explained for r in results for row in r.rows),
        postings_of_a_second_sync=second,
        open_exceptions=dict(by_class),
        open_exceptions_by_code={g.code: g.items for g in groups},
        amounts=_amounts(documents),
    )
    return summary, results


def _invoice(world: World, runtime: Runtime, partitions: Sequence[Partition]) -> None:
    """Finance invoices its first projects of the month, posts some cost entries, and books the first payments.

    Not all of them: Tryton takes ten seconds to post an invoice of fifty lines. Projects whose time will change
    afterwards come first, so that there is something to credit.
    """
    late = _keys_of_late_changes(world, runtime)
    for entity, named in partitions:
        company, month = erp_company(runtime, entity), ServiceMonth.parse(named)
        lines = _first_projects(runtime.erp_reader.billing_lines(company, month, month), late)
        on = month.last_day
        invoices = world.finance.invoice_lines(company, on=on, line_ids=[d.document.erp_id for d in lines])
        world.finance.post_invoices(company, invoices)
        world.finance.post_moves(company, world.finance.draft_moves(company, month)[:_LINES_INVOICED])
        for invoice in invoices[::2]:
            world.finance.register_payment(company, invoice, on=on + dt.timedelta(days=30))


def _first_projects(lines: Sequence[BookedDocument], first: AbstractSet[str]) -> list[BookedDocument]:
    """The draft lines of whole projects, those with a line among `first` before others, until there are enough."""
    of_project: dict[tuple[str, str | None], list[BookedDocument]] = defaultdict(list)
    for line in lines:
        if line.document.document is None and line.party is not None:
            of_project[line.party, line.analytic].append(line)
    chosen: list[BookedDocument] = []
    for own in sorted(of_project.values(), key=lambda own: (not any(d.key in first for d in own), len(own))):
        if len(chosen) >= _LINES_INVOICED:
            break
        chosen += own
    return chosen


def _keys_of_late_changes(world: World, runtime: Runtime) -> frozenset[str]:
    company = world.company
    changed = [*(edit.entry_id for edit in company.edits_after_approval), *company.deletions_after_approval]
    postings = runtime.postings.of_objects([f"time_entry:clockify:{entry_id}" for entry_id in changed])
    return frozenset(posting.key for posting in postings)


def _change_minds(world: World, runtime: Runtime) -> None:
    """Consultants edit and delete approved time, and a project's rate goes up; webhooks announce what they can."""
    changed = [*world.people.play_edits_after_approval(), *world.people.play_deletions_after_approval()]
    project = next(p for p in world.company.projects if p.in_erp and p.billable and p.rate is not None)
    assert project.rate is not None
    world.people.set_project_rate(project.psa_id, int(project.rate * 100) + 500)
    deadline = time.monotonic() + _HINTS_SECONDS
    while time.monotonic() < deadline:
        with runtime.engine.connect() as connection:
            found = statuses.status(connection, runtime.settings.tenant)
        if not found.deliveries_pending and found.entries_dirty >= len(changed):
            return
        time.sleep(0.2)
    raise TimeoutError(f"the console did not handle the webhooks of {len(changed)} changes in {_HINTS_SECONDS:.0f} s")


def _postings(runtime: Runtime) -> int:
    with runtime.engine.connect() as connection:
        return sum(p.postings for p in statuses.status(connection, runtime.settings.tenant).postings)


def _sum(minutes: Sequence[Minutes]) -> dict[str, int]:
    return {
        f"{name}_minutes": sum(getattr(m, name) for m in minutes)
        for name in ("approved", "billed", "non_billable", "held", "pending")
    }


def _documents(runtime: Runtime, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Row[Any]]]:
    """Every billing line and cost entry that the ERP has in these partitions, as just read back."""
    companies = {entity: erp_company(runtime, entity) for entity, _ in partitions}
    with runtime.engine.connect() as connection:
        return {
            (entity, month): erp_documents.of_month(connection, runtime.settings.tenant, companies[entity], month)
            for entity, month in partitions
        }


def _duplicates(documents: Mapping[Partition, Sequence[Row[Any]]]) -> int:
    """Documents too many: those beyond the first under each of the sync's keys."""
    keys = Counter(row.key for rows in documents.values() for row in rows if row.key is not None)
    return sum(keys.values()) - len(keys)


def _amounts(documents: Mapping[Partition, Sequence[Row[Any]]]) -> list[Mapping[str, str | int]]:
    """Net billed by entity, month and currency, as the ERP has it: all lines, and those on posted invoices."""
    totals: dict[tuple[str, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    worked: Counter[tuple[str, str, str]] = Counter()
    for partition, rows in documents.items():
        for row in rows:
            if row.effect_type != EffectType.BILLING_LINE.value:
                continue
            total = (*partition, row.currency)
            totals[total][0] += row.amount
            totals[total][1] += row.amount if row.posted else Decimal(0)
            worked[total] += row.minutes
    return [
        {
            "legal_entity": entity,
            "service_month": month,
            "currency": currency,
            "minutes": worked[entity, month, currency],
            "billed": str(billed),
            "invoiced": str(invoiced),
        }
        for (entity, month, currency), (billed, invoiced) in sorted(totals.items())
    ]


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


def _print(summary: Summary, results: Sequence[Reconciliation], settings: Settings, path: Path) -> None:
    stdout.print()
    print_table(
        "Billed, as the ERP has it",
        ("entity", "month", "currency", "hours", "net billed", "of it on posted invoices"),
        [
            (a["legal_entity"], a["service_month"], a["currency"], hours(int(a["minutes"])), Decimal(a["billed"]),
             Decimal(a["invoiced"]))
            for a in summary.amounts
        ],
        empty="nothing",
    )  # fmt: skip
    parts = ("approved", "billed", "non_billable", "held", "pending")
    print_table(
        "Approved hours",
        parts,
        [tuple(hours(getattr(summary, f"{part}_minutes")) for part in parts)],
        empty="none",
    )
    differences = Counter(row.difference.value for result in results for row in result.rows)
    print_table("Reconciliation", ("difference", "entries"), sorted(differences.items()), empty="no time")
    with open_runtime(settings) as runtime, runtime.engine.connect() as connection:
        groups = exception_items.group_exceptions(connection, settings.tenant)
    print_table(
        "Open exceptions",
        ("class", "code", "items", "hours", "next step"),
        [(g.fault_class, g.code, g.items, hours(g.minutes), g.next_step) for g in groups],
        empty="none",
    )
    stdout.print(
        f"[bold]{summary.postings:,}[/bold] postings, {summary.erp_documents_read_back:,} documents read back from the"
        f" ERP, [bold]{summary.duplicates}[/bold] duplicates, [bold]{summary.unexplained_differences}[/bold]"
        f" unexplained differences; a second sync posted {summary.postings_of_a_second_sync}."
        f" {summary.seconds:.0f} seconds. Summary: {path}"
    )
    stdout.print(
        "\nGo on with\n"
        f"  make up                              Dagster on {settings.dagster_url}, console on {settings.console_url}\n"
        "  .venv/bin/psa-erp status             where everything stands\n"
        "  .venv/bin/psa-erp exceptions         what waits for somebody, and for whom\n"
        f"  duckdb {settings.home / 'reporting.duckdb'}   the reporting store",
        highlight=False,
    )
