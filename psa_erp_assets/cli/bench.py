"""Measurements. Each is written to `bench/results.json` as name, value, unit, limit, and the floor or peer it has."""

import datetime as dt
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from psa_erp_assets.benchmarks import marts, planning
from psa_erp_assets.benchmarks.marts import measure_marts
from psa_erp_assets.benchmarks.planning import measure_planning
from psa_erp_assets.benchmarks.receiving import measure_receiving
from psa_erp_assets.benchmarks.result import Part, Result
from psa_erp_assets.cli.output import print_table, progress
from psa_erp_assets.cli.processes import Watched
from psa_erp_assets.cli.up import running_stack
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.sandbox.actors import Actors
from psa_erp_assets.sandbox.company_model import DemoCompany
from psa_erp_assets.sandbox.world import people_of, reset
from psa_erp_assets.services import status as statuses
from psa_erp_assets.services.runtime import Runtime, open_runtime, running_server
from psa_erp_assets.settings import load_settings

APPROVALS = 50
_BACKLOG_SECONDS, _ONE_SECONDS = 900.0, 60.0
_WEEKS = (dt.date(2026, 11, 2), dt.date(2026, 11, 9))


def run(environ: Mapping[str, str], *, only: Part | None = None, entries: int | None = None) -> list[Result]:
    """The measurements, all or one part of them, in a home of their own.

    `entries` are the facts that are planned, and those behind the marts, if others than usual. Raises what their parts
    raise.
    """
    base = load_settings(environ)
    folder = base.home / "bench"
    variables = {**environ, "PSA_ERP_HOME": str(folder / "home")}
    settings = load_settings(variables)
    results: list[Result] = []
    if only in (None, Part.APPROVAL):
        reset(settings)
        results += approval_to_draft(variables)
    if only in (None, Part.PLANNING):
        with running_server(settings) as server:
            results += measure_planning(server, entries or planning.ENTRIES, folder / "floor")
    if only in (None, Part.RECEIVING):
        results += measure_receiving(folder / "receiving")
    if only in (None, Part.MARTS):
        with running_server(settings) as server:
            results += measure_marts(server, entries or marts.ENTRIES, folder / "marts")
    path = folder / "results.json"
    _write(path, results)
    print_table(
        f"Measured; written to {path}",
        ("name", "value", "unit", "limit", "floor", "which is"),
        [
            (r.name, f"{r.value:.3f}", r.unit, r.limit, None if r.floor is None else f"{r.floor:.3f}", r.floor_is)
            for r in results
        ],
        empty="nothing",
    )
    return results


def approval_to_draft(environ: Mapping[str, str], approvals: int = APPROVALS) -> list[Result]:
    """Seconds from the PSA's answer to an approval to the draft line's creation in the ERP, by the ERP's own clock.

    The whole stack runs as for work, and nobody touches Dagster.
    """
    waits: list[float] = []
    with running_stack(environ) as (settings, processes), open_runtime(settings) as runtime, progress() as bar:
        backlog = bar.add_task("posting the backlog", total=None)
        _wait_for_backlog(runtime, processes)
        bar.remove_task(backlog)
        with people_of(settings) as (company, people):
            task = bar.add_task("approvals", total=approvals)
            for number, request_id, entry_id in _submitted(company, people, approvals):
                people.approve([request_id])
                approved_at = dt.datetime.now(dt.UTC)
                created_at = _line_created_at(runtime, f"time_entry:clockify:{entry_id}", processes)
                waits.append((created_at - approved_at).total_seconds())
                bar.update(task, completed=number)
    p50, p95 = statistics.median(waits), statistics.quantiles(waits, n=20)[-1]
    return [
        Result(name="approval_to_draft_p50_s", value=p50, unit="s", limit=10.0),
        Result(name="approval_to_draft_p95_s", value=p95, unit="s", limit=10.0),
    ]


def _wait_for_backlog(runtime: Runtime, processes: Sequence[Watched]) -> None:
    """Return when everything that was there at the start has been posted."""
    deadline = time.monotonic() + _BACKLOG_SECONDS
    while time.monotonic() < deadline:
        for process in processes:
            process.check()
        with runtime.engine.connect() as connection:
            found = statuses.status(connection, runtime.settings.tenant)
        under_way = found.postings_in("planned", "ready", "in_flight", "ambiguous", "resolving", "confirmed")
        if found.postings and not found.entries_dirty and not under_way:
            return
        time.sleep(1)
    raise TimeoutError(f"the backlog was not posted within {_BACKLOG_SECONDS:.0f} s")


def _submitted(company: DemoCompany, people: Actors, wanted: int) -> Iterator[tuple[int, str, str]]:
    """Weeks handed in for approval, each with one new entry that can be billed: number, request id, entry id."""
    number = 0
    users = {person.email: person for person in company.people}
    projects = [
        project
        for project in company.projects
        if project.billable and project.in_erp and project.contract and project.closed_on is None
        and project.rate is not None and project.currency in ("USD", "GBP", "EUR")
        and next(c for c in company.contracts if c.code == project.contract).end is None
    ]  # fmt: skip
    seen: set[tuple[str, dt.date]] = set()
    for week in _WEEKS:
        for project in projects:
            for email in project.staff:
                person = users[email]
                if person.psa_id is None or person.hr_id is None or not person.compensation:
                    continue
                if (person.psa_id, week) in seen or number == wanted:
                    continue
                seen.add((person.psa_id, week))
                start = dt.datetime.combine(week, dt.time(12), dt.UTC)
                entry_id = people.record_entry(person.psa_id, project.psa_id, start, 75)
                monday = dt.datetime.combine(week, dt.time(), dt.UTC)
                number += 1
                yield number, people.submit_week(person.psa_id, monday), entry_id
    if number < wanted:
        raise ValueError(f"the demo company has only {number} weeks to approve, not {wanted}")


def _line_created_at(runtime: Runtime, entry_id: str, processes: Sequence[Watched]) -> dt.datetime:
    """When the ERP made the entry's draft line, by its own record of it."""
    deadline = time.monotonic() + _ONE_SECONDS
    while time.monotonic() < deadline:
        for process in processes:
            process.check()
        for posting in runtime.postings.of_objects([entry_id]):
            if posting.effect_type is EffectType.BILLING_LINE and posting.erp_id is not None:
                created = runtime.erp_reader.created_at(posting.effect_type, posting.erp_id)
                if created is not None:
                    return created
        time.sleep(0.1)
    raise TimeoutError(f"no draft line for {entry_id} within {_ONE_SECONDS:.0f} s of its approval")


def _write(path: Path, results: Sequence[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(r) for r in results], indent=2) + "\n", encoding="utf-8")
