"""Reports as they stood at an earlier reporting run, and what has changed since, by cause.

A run is a published reporting file and the state of the lake that it is of. States are kept by policy
(`services.lake_upkeep`); a run whose state is gone is listed and cannot be read any more.
"""

import contextlib
import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb

from psa_erp_assets.adapters import lake_changes, lake_reports
from psa_erp_assets.adapters.lake_reports import ModelChanges, ModelRows, NoSuchColumnError
from psa_erp_assets.adapters.store import reporting_runs
from psa_erp_assets.domain.report_changes import Cause, Change, Measure, Part, with_rest
from psa_erp_assets.services import reporting
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.settings import OperatorError

__all__ = ["Cause", "Change", "Measure", "ModelChanges", "ModelRows", "Part", "ReportingRun"]

_LATEST = "latest"


class NoSuchRunError(OperatorError):
    """No reporting run has that id, or none had been made by then."""


class ExpiredRunError(OperatorError):
    """The lake does not have the state of that run any more."""


class UnknownModelError(OperatorError):
    """There is no such model, or there was none in that state; or it has no such column."""


class IncomparableRunsError(OperatorError):
    """One of two states was written by a version that kept less than the comparison needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingRun:
    """A published reporting file and its state of the lake.

    `kept` is False where maintenance has forgotten that state. `month_end` is the calendar month (UTC) of which it is
    the last run, and so kept longer than others; the running month's is the latest run.
    """

    id: int
    published_at: dt.datetime
    lake_snapshot: int
    models: int
    kept: bool
    month_end: str | None


def runs(runtime: Runtime, *, limit: int | None = 100) -> list[ReportingRun]:
    """The reporting runs, the latest first."""
    with runtime.engine.connect() as connection:
        rows = reporting_runs.all_of(connection, runtime.settings.tenant)
    readable = runtime.lake.readable({row["lake_snapshot"] for row in rows}) if rows else set()
    found, months = [], set[str]()
    for row in rows:
        month = f"{row['published_at'].astimezone(dt.UTC):%Y-%m}"
        found.append(
            ReportingRun(**row, kept=row["lake_snapshot"] in readable, month_end=None if month in months else month)
        )
        months.add(month)
    return found[:limit]


def find_run(runtime: Runtime, text: str) -> ReportingRun:
    """The run that a text means: its id, `latest`, or the last one at or before a date or timestamp (ISO 8601).

    A date is that whole day, and an instant without an offset is in UTC. Raises NoSuchRunError.
    """
    found = runs(runtime, limit=None)
    if not found:
        raise NoSuchRunError("there has been no reporting run yet: start the job reporting in Dagster")
    if text == _LATEST:
        return found[0]
    if text.isdecimal():
        run = next((run for run in found if run.id == int(text)), None)
        if run is None:
            raise NoSuchRunError(f"there is no reporting run {text}; `psa-erp reports list` has them")
        return run
    until = _instant(text)
    run = next((run for run in found if run.published_at <= until), None)
    if run is None:
        first = found[-1]
        raise NoSuchRunError(f"there was no reporting run by {text}; the first is {first.id}, of {_at(first)}")
    return run


def model_rows(
    runtime: Runtime,
    model: str,
    run: ReportingRun | None = None,
    *,
    where: Mapping[str, str] | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> ModelRows:
    """Rows of a model as they stood at a run, or as they are now, in the order of its grain.

    `where` gives the text that a column must have as its value. Raises UnknownModelError and ExpiredRunError.
    """
    grain = _grain(model)
    with _explained(model), state(runtime, run) as connection:
        return lake_reports.model_rows(connection, model, grain, where=where or {}, limit=limit, offset=offset)


def model_changes(
    runtime: Runtime, model: str, before: ReportingRun, after: ReportingRun, *, limit: int | None = None
) -> ModelChanges:
    """Rows of a model that were added, removed or changed from one run to another, found by its grain.

    Raises UnknownModelError and ExpiredRunError.
    """
    grain = _grain(model)
    with _explained(model), _both(runtime, before, after) as connection:
        return lake_reports.model_changes(connection, model, grain, limit=limit)


def changes(
    runtime: Runtime,
    before: ReportingRun,
    after: ReportingRun,
    *,
    legal_entity: str | None = None,
    service_month: str | None = None,
    contract_id: str | None = None,
    measure: Measure | None = None,
) -> list[Change]:
    """Every measure that differs for a contract and month, with the causes of its difference.

    The parts of each come to the whole difference between the marts; what no fact in the lake explains is one of
    them, and named so. Raises ExpiredRunError and IncomparableRunsError.
    """
    wanted = {
        "legal_entity": legal_entity,
        "month": service_month,
        "contract_id": contract_id,
        "measure": None if measure is None else measure.value,
    }
    with _both(runtime, before, after) as connection:
        try:
            wholes, parts = lake_changes.wholes_and_parts(connection, wanted)
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise IncomparableRunsError(
                f"run {before.id} or {after.id} was made by a version that kept less than causes are told from;"
                f" `psa-erp reports diff` still compares single models ({str(error).splitlines()[0]})"
            ) from error
    of_place: dict[tuple[Any, ...], list[Part]] = defaultdict(list)
    for row in parts:
        of_place[_place(row)].append(
            Part(cause=Cause(row["cause"]), amount=row["amount"], items=row["items"], ids=tuple(row["ids"]))
        )
    found = []
    for row in wholes:
        place = _place(row)
        mine, difference = tuple(of_place.pop(place, ())), row["after"] - row["before"]
        if difference or mine:
            found.append(_change(place, row["before"], row["after"], with_rest(difference, mine)))
    # A fact at a place that no mart knows: its amount comes back as not attributed, and so nothing is hidden.
    found += [_change(place, Decimal(0), Decimal(0), with_rest(Decimal(0), tuple(p))) for place, p in of_place.items()]
    return found


def _change(place: tuple[Any, ...], before: Decimal, after: Decimal, parts: tuple[Part, ...]) -> Change:
    measure, legal_entity, contract_id, month, currency = place
    return Change(
        measure=Measure(measure),
        legal_entity=legal_entity,
        contract_id=contract_id,
        month=month,
        currency=currency,
        before=before,
        after=after,
        parts=parts,
    )


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("measure", "legal_entity", "contract_id", "month", "currency"))


def _grain(model: str) -> tuple[str, ...]:
    found = reporting.models().get(model)
    if found is None:
        raise UnknownModelError(f"there is no model {model!r}; `psa-erp models` lists them")
    return tuple(found.grain)


@contextlib.contextmanager
def state(runtime: Runtime, run: ReportingRun | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """The lake as it stood at a run, or as it is now, to be read. Raises ExpiredRunError."""
    if run is not None:
        _check_kept(runtime, run)
    with runtime.lake.connection(None if run is None else run.lake_snapshot) as connection:
        yield connection


@contextlib.contextmanager
def _both(runtime: Runtime, before: ReportingRun, after: ReportingRun) -> Iterator[duckdb.DuckDBPyConnection]:
    for run in (before, after):
        _check_kept(runtime, run)
    with runtime.lake.between(before.lake_snapshot, after.lake_snapshot) as connection:
        yield connection


def _check_kept(runtime: Runtime, run: ReportingRun) -> None:
    """Raises ExpiredRunError. Looked up anew: maintenance may have run since the run was listed."""
    if runtime.lake.readable([run.lake_snapshot]):
        return
    policy = runtime.settings.policies.lake
    left = [str(other.id) for other in runs(runtime, limit=None) if other.kept]
    raise ExpiredRunError(
        f"the state of reporting run {run.id} ({_at(run)}) has been removed from the lake: policies.yaml keeps runs for"
        f" {policy.keep_runs_days} days and those of month-ends for {policy.keep_month_ends_months} months, and an"
        " erasure of personal data may forget them all."
        + (f" Runs that can be read: {', '.join(left[:10])}{', …' if len(left) > 10 else ''}." if left else "")
    )


@contextlib.contextmanager
def _explained(model: str) -> Iterator[None]:
    try:
        yield
    except NoSuchColumnError as error:
        raise UnknownModelError(str(error)) from error
    except duckdb.CatalogException as error:
        raise UnknownModelError(f"there was no model {model} in that state of the lake yet") from error


def _instant(text: str) -> dt.datetime:
    """Raises NoSuchRunError for what is neither an id nor an instant."""
    try:
        if len(text) == len("2026-09-30"):
            day = dt.date.fromisoformat(text)
            return dt.datetime.combine(day, dt.time.max, dt.UTC)
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise NoSuchRunError(
            f"{text!r} is no run: give its id, `latest`, a date as 2026-09-30 or a time as 2026-09-30T18:00:00+00:00"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def _at(run: ReportingRun) -> str:
    return f"{run.published_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
