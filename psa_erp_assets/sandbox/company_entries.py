"""Generates the demo company's work: time entries, weekly approval requests, and the irregularities of real life.

Irregular entries are added where chance would not bring them; which entries are irregular is found out afterwards
from the finished company (`find_dirt`), so that the list cannot differ from the data.
"""

import datetime as dt
import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from psa_erp_assets.domain.calendar import ServiceMonth, service_date
from psa_erp_assets.sandbox.company_master import MasterData, hex_id
from psa_erp_assets.sandbox.company_model import (
    DemoApproval,
    DemoPerson,
    DemoProject,
    DemoTimeEntry,
    Dirt,
    Edit,
    RequestState,
)
from psa_erp_assets.sandbox.company_terms import DISPUTED_CONTRACT, RATE_CARD_CONTRACT

_TASKS = (
    "Workshop with the finance team", "Data model review", "Interface tests", "Cut-over rehearsal", "Stand-up and plan",
    "Reconciliation of opening balances", "Report drafts", "Code review", "Steering committee", "Migration run",
    "Requirements notes", "Load tests", "Training material", "Defect triage", "Handover",
)  # fmt: skip
_DAY_OFF, _NOT_BILLABLE, _SECOND_ENTRY = 0.08, 0.05, 0.62
_AFTER_APPROVAL, _TWICE = 8, 4
_OVERTIME, _TRAVEL, _TRAINING = 0.15, 0.1, 0.12

WHOLE_DAY = 480
"""Minutes of the one entry of a whole day."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Entries and requests at the start of the demo, and what people do afterwards."""

    entries: tuple[DemoTimeEntry, ...]
    approvals: tuple[DemoApproval, ...]
    edits: tuple[Edit, ...]
    deletions: tuple[str, ...]


class _Diary:
    """Collects entries and gives them their ids in the order in which they were written."""

    def __init__(self, rng: random.Random, seed: int) -> None:
        self.rng = rng
        self.entries: list[DemoTimeEntry] = []
        self._seed = seed

    def add(
        self, person: DemoPerson, project: DemoProject | None, start: dt.datetime, minutes: int | None, *,
        billable: bool | None = None,
    ) -> DemoTimeEntry:  # fmt: skip
        """Write down work from a local instant on; `minutes` None for a timer that still runs.

        The end is counted in elapsed time, so that a night on which the clocks change comes out right.
        """
        if billable is None:
            billable = project is not None and project.billable and self.rng.random() >= _NOT_BILLABLE
        begun = start.astimezone(dt.UTC)
        entry = DemoTimeEntry(
            id=hex_id(self._seed, "time_entry", len(self.entries) + 1),
            user_id=str(person.psa_id),
            project_id=project.psa_id if project else None,
            start=begun,
            end=None if minutes is None else begun + dt.timedelta(minutes=minutes),
            billable=billable,
            description=self.rng.choice(_TASKS),
        )
        self.entries.append(entry)
        return entry


def build_work(
    rng: random.Random, seed: int, months: Sequence[ServiceMonth], master: MasterData, approver: str
) -> Work:
    """All work of the months. Entries are ordered by person and start."""
    people = [p for p in master.people if p.psa_id is not None]
    teams: dict[str, list[DemoProject]] = defaultdict(list)
    for project in master.projects:
        for email in project.staff:
            teams[email].append(project)
    diary = _Diary(rng, seed)
    days = [day for month in months for day in _days(month.first_day, month.last_day)]
    for person in people:
        for day in days:
            if day.weekday() < 5 and rng.random() >= _DAY_OFF:
                _ordinary_day(diary, person, [p for p in teams[person.email] if _open(p, day)], day)
    _irregular_entries(diary, people, teams, months)
    zone_of = {str(p.psa_id): p.time_zone for p in people}
    approvals = _approvals(rng, seed, diary.entries, zone_of, approver)
    approvals += _second_approvals(rng, seed, approvals, approver)
    edits, deletions = _after_approval(rng, diary.entries, approvals)
    order = {str(p.psa_id): n for n, p in enumerate(people)}
    return Work(
        entries=tuple(sorted(diary.entries, key=lambda e: (order[e.user_id], e.start, e.id))),
        approvals=tuple(approvals),
        edits=edits,
        deletions=deletions,
    )


def as_agreed(seed: int, months: Sequence[ServiceMonth], master: MasterData, work: Work) -> Work:
    """The work as the contracts ask for it to be recorded: with types and tasks.

    One day of the first month is recorded as eight hours in one entry, of which the customer will dispute a part.
    """
    rng = random.Random(f"{seed}/work types")  # noqa: S311  # a demo that can be repeated, not a secret
    by_card = {p.psa_id for p in master.projects if p.contract == RATE_CARD_CONTRACT}
    whole_day = _whole_day(months[0], master, work)

    def agreed(entry: DemoTimeEntry) -> DemoTimeEntry:
        if entry.id == whole_day:
            return replace(entry, end=entry.start + dt.timedelta(minutes=WHOLE_DAY))
        if entry.project_id in by_card:
            draw = rng.random()
            tags = ("Overtime",) if draw < _OVERTIME else ("Travel",) if draw < _OVERTIME + _TRAVEL else ()
            return replace(entry, tags=tags, task="Training" if rng.random() < _TRAINING else None)
        return entry

    return replace(work, entries=tuple(agreed(e) for e in work.entries))


def _whole_day(month: ServiceMonth, master: MasterData, work: Work) -> str | None:
    """The first approved entry of the disputed contract that is its author's only one of that day."""
    zone_of = {str(p.psa_id): p.time_zone for p in master.people}
    projects = {p.psa_id for p in master.projects if p.contract == DISPUTED_CONTRACT}
    approved = {i for a in work.approvals if a.state is RequestState.APPROVED for i in a.entry_ids}
    later = {*work.deletions, *(edit.entry_id for edit in work.edits)}
    of_day: dict[tuple[str, dt.date], list[DemoTimeEntry]] = defaultdict(list)
    for entry in work.entries:
        of_day[entry.user_id, service_date(entry.start, zone_of[entry.user_id])].append(entry)
    return next(
        (
            entry.id
            for (_, day), [entry, *others] in of_day.items()
            if not others
            and entry.project_id in projects
            and ServiceMonth.of(day) == month
            and entry.billable
            and entry.id in approved - later
        ),
        None,
    )


def _ordinary_day(diary: _Diary, person: DemoPerson, projects: Sequence[DemoProject], day: dt.date) -> None:
    if not projects:
        return
    rng = diary.rng
    start = _local(person, day, rng.randint(7, 9), rng.randint(0, 59))
    minutes = rng.randint(47, 251)
    diary.add(person, rng.choice(projects), start, minutes)
    if rng.random() < _SECOND_ENTRY:
        later = start + dt.timedelta(minutes=minutes + rng.randint(20, 70))
        diary.add(person, rng.choice(projects), later, rng.randint(31, 239))


def _irregular_entries(
    diary: _Diary, people: Sequence[DemoPerson], teams: Mapping[str, Sequence[DemoProject]],
    months: Sequence[ServiceMonth],
) -> None:  # fmt: skip
    rng = diary.rng
    first, last = months[0], months[-1]

    def project_of(person: DemoPerson, day: dt.date) -> DemoProject | None:
        known = [p for p in teams[person.email] if _open(p, day)]
        return rng.choice(known) if known else None

    def workday(month: ServiceMonth) -> dt.date:
        return rng.choice([d for d in _days(month.first_day, month.last_day) if d.weekday() < 5])

    # Over midnight, far from the entity's own zone: ordinary nights, and the night at the end of each month.
    travellers = [p for p in people if p.time_zone in ("Asia/Tokyo", "America/Los_Angeles", "Asia/Singapore")]
    for person in travellers:
        for day in (workday(first), *(m.last_day for m in months)):
            start = _local(person, day, 22, rng.randint(5, 55))
            diary.add(person, project_of(person, day), start, rng.randint(131, 203))
    for person, month in itertools.product(travellers, months):
        # Late afternoon on the Pacific coast and early morning in Asia: the UTC date is in the other month.
        hour, day = (17, month.last_day) if person.time_zone.startswith("America") else (6, month.first_day)
        diary.add(person, project_of(person, day), _local(person, day, hour, rng.randint(2, 50)), rng.randint(47, 118))
    for person in rng.sample(people, 12):
        for day in itertools.chain.from_iterable(_days(m.first_day, m.last_day) for m in months):
            if _clock_changes(person, day):
                start = _local(person, day, 0, rng.randint(10, 50))
                diary.add(person, project_of(person, day), start, rng.randint(171, 229))
    for person in rng.sample(people, 6):
        day = workday(first)
        diary.add(person, None, _local(person, day, 18, rng.randint(0, 50)), rng.randint(17, 83), billable=True)
    for person in rng.sample(people, 5):
        day = workday(last)
        diary.add(person, project_of(person, day), _local(person, day, 19, rng.randint(0, 50)), 0)
    for person in rng.sample(people, 3):
        diary.add(
            person, project_of(person, last.last_day), _local(person, last.last_day, 16, rng.randint(0, 50)), None
        )
    for person in people:
        for project in teams[person.email]:
            if project.closed_on is not None:
                day = project.closed_on + dt.timedelta(days=rng.randint(1, 6))
                diary.add(person, project, _local(person, day, 13, rng.randint(0, 50)), rng.randint(47, 171))


def _approvals(
    rng: random.Random, seed: int, entries: Iterable[DemoTimeEntry], zone_of: Mapping[str, str], approver: str
) -> list[DemoApproval]:
    weeks: dict[tuple[str, dt.date], list[DemoTimeEntry]] = defaultdict(list)
    for entry in entries:
        day = service_date(entry.start, zone_of[entry.user_id])
        weeks[entry.user_id, day - dt.timedelta(days=day.weekday())].append(entry)
    latest = max(monday for _, monday in weeks)
    approvals = []
    for n, ((user, monday), week) in enumerate(sorted(weeks.items()), start=1):
        state = _fate(rng, is_latest=monday == latest)
        if state is None:
            continue
        zone = ZoneInfo(zone_of[user])
        start = dt.datetime.combine(monday, dt.time(), zone)
        end = dt.datetime.combine(monday + dt.timedelta(days=7), dt.time(), zone).astimezone(dt.UTC)
        decided = end + dt.timedelta(hours=rng.randint(8, 70), minutes=rng.randint(0, 59))
        approvals.append(
            DemoApproval(
                id=hex_id(seed, "approval", n),
                user_id=user,
                start=start.astimezone(dt.UTC),
                end=end - dt.timedelta(seconds=1),
                state=state,
                updated_at=decided,
                updated_by=user if state is RequestState.PENDING else approver,
                entry_ids=tuple(e.id for e in week if e.end is not None),
            )
        )
    return approvals


def _fate(rng: random.Random, *, is_latest: bool) -> RequestState | None:
    """What became of a week: None where it has not been submitted."""
    draw = rng.random()
    if is_latest:
        return RequestState.PENDING if draw < 0.45 else RequestState.APPROVED if draw < 0.7 else None
    if draw < 0.03:
        return None
    if draw < 0.06:
        return RequestState.REJECTED
    return RequestState.PENDING if draw < 0.09 else RequestState.APPROVED


def _second_approvals(
    rng: random.Random, seed: int, approvals: Sequence[DemoApproval], approver: str
) -> list[DemoApproval]:
    """Weeks that were resubmitted although they were approved: some entries stand in two approved requests."""
    approved = [a for a in approvals if a.state is RequestState.APPROVED and len(a.entry_ids) > 3]
    return [
        DemoApproval(
            id=hex_id(seed, "second_approval", n),
            user_id=first.user_id,
            start=first.start,
            end=first.end,
            state=RequestState.APPROVED,
            updated_at=first.updated_at + dt.timedelta(days=1, minutes=rng.randint(1, 300)),
            updated_by=approver,
            entry_ids=first.entry_ids[:2],
        )
        for n, first in enumerate(rng.sample(approved, _TWICE), start=1)
    ]


def _after_approval(
    rng: random.Random, entries: Iterable[DemoTimeEntry], approvals: Sequence[DemoApproval]
) -> tuple[tuple[Edit, ...], tuple[str, ...]]:
    """Edits and deletions of approved entries that the demo plays later."""
    listed: dict[str, int] = defaultdict(int)
    for approval in approvals:
        for entry_id in approval.entry_ids:
            listed[entry_id] += 1 if approval.state is RequestState.APPROVED else 2
    plain = [e for e in entries if listed[e.id] == 1 and e.billable and e.project_id and e.end and e.end > e.start]
    chosen = rng.sample(plain, 2 * _AFTER_APPROVAL)
    changes = [c for c in range(-29, 44) if c]
    edits = tuple(
        Edit(entry_id=e.id, end=e.end + dt.timedelta(minutes=rng.choice(changes)))
        for e in chosen[:_AFTER_APPROVAL]
        if e.end is not None
    )
    return edits, tuple(e.id for e in chosen[_AFTER_APPROVAL:])


def find_dirt(master: MasterData, work: Work) -> dict[Dirt, tuple[str, ...]]:
    """The entries that carry each irregularity, in the order of `work.entries`."""
    person_of = {str(p.psa_id): p for p in master.people if p.psa_id is not None}
    project_of = {p.psa_id: p for p in master.projects}
    contract_currency = {c.code: c.currency for c in master.contracts}
    priced = {r.currency for r in master.fx_rates} | {"USD"}
    states: dict[str, list[RequestState]] = defaultdict(list)
    for approval in work.approvals:
        for entry_id in approval.entry_ids:
            states[entry_id].append(approval.state)
    edited, deleted = {e.entry_id for e in work.edits}, set(work.deletions)
    found: dict[Dirt, list[str]] = {kind: [] for kind in Dirt}
    for entry in work.entries:
        person, project = person_of[entry.user_id], project_of.get(entry.project_id or "")
        day, zone = service_date(entry.start, person.time_zone), ZoneInfo(person.time_zone)
        local_end = entry.end.astimezone(zone) if entry.end else None
        seen = states[entry.id]
        checks = {
            Dirt.NOT_SUBMITTED: not seen,
            Dirt.PENDING: RequestState.PENDING in seen,
            Dirt.REJECTED: RequestState.REJECTED in seen,
            Dirt.APPROVED_TWICE: seen.count(RequestState.APPROVED) > 1,
            Dirt.EDITED_AFTER_APPROVAL: entry.id in edited,
            Dirt.DELETED_AFTER_APPROVAL: entry.id in deleted,
            Dirt.PROJECT_NOT_IN_ERP: project is not None and not project.in_erp,
            Dirt.PROJECT_WITHOUT_DEAL: project is not None and project.contract is None,
            Dirt.NO_COMPENSATION: person.hr_id is not None and not person.compensation,
            Dirt.NO_FX_RATE: project is not None and contract_currency.get(project.contract or "", "USD") not in priced,
            Dirt.AFTER_PROJECT_CLOSED: project is not None and not _open(project, day),
            Dirt.OVER_MIDNIGHT: local_end is not None and local_end.date() > day,
            Dirt.OTHER_MONTH_IN_UTC: ServiceMonth.of(day) != ServiceMonth.of(entry.start.date()),
            Dirt.OVER_CLOCK_CHANGE: local_end is not None
            and entry.start.astimezone(zone).utcoffset() != local_end.utcoffset(),
            Dirt.RUNNING: entry.end is None,
            Dirt.NO_PROJECT: entry.project_id is None,
            Dirt.ZERO_MINUTES: entry.end == entry.start,
            Dirt.UNKNOWN_TO_HR: person.hr_id is None,
        }
        for kind, present in checks.items():
            if present:
                found[kind].append(entry.id)
    return {kind: tuple(ids) for kind, ids in found.items()}


def _open(project: DemoProject, day: dt.date) -> bool:
    return project.closed_on is None or day <= project.closed_on


def _days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def _local(person: DemoPerson, day: dt.date, hour: int, minute: int) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(hour, minute), ZoneInfo(person.time_zone))


def _clock_changes(person: DemoPerson, day: dt.date) -> bool:
    return _local(person, day, 0, 0).utcoffset() != _local(person, day, 5, 0).utcoffset()
