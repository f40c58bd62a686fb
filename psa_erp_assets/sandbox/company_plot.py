"""What happens to the demo company after its first month is invoiced: which entries, deals and milestones change.

What belongs here: the choice, found from the finished company. What does not: who acts, and how (`actors` and the
demo itself).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psa_erp_assets.domain.calendar import ServiceMonth, service_date
from psa_erp_assets.sandbox.company_entries import WHOLE_DAY
from psa_erp_assets.sandbox.company_model import (
    DemoApproval,
    DemoCompany,
    DemoContract,
    DemoProject,
    DemoTimeEntry,
    RequestState,
)
from psa_erp_assets.sandbox.company_terms import DISPUTED_CONTRACT, LATE_AMENDMENT, REOPENED_MILESTONE

_MOVED_TO, _UNBILLED, _LATE = "CTR-0035", "CTR-0009", "CTR-0022"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """The corrections of the demo, all about approved work of the first month.

    `moved` goes to the project `moved_to`, `split` is parted in two, of `disputed` some hours are credited, and the
    approval of `unapproved` is taken back for a while. `amendment` is signed late, `milestone` is reopened, and
    finance cancels the invoice of the first instalment of `unbilled`. The author of `late` has forgotten work of the
    same week on the same project, whose legal entity closes the month before it is approved.
    """

    moved: DemoTimeEntry
    moved_to: DemoProject
    split: DemoTimeEntry
    disputed: DemoTimeEntry
    unapproved: DemoApproval
    amendment: DemoContract
    milestone: str
    unbilled: str
    late: DemoTimeEntry
    late_week: DemoApproval


def plot_of(company: DemoCompany) -> Plot:
    """The plot of a company. Raises StopIteration for one in which nobody has done what it needs."""
    requests = _requests(company)
    ordinary = dict(_ordinary(company, requests))
    amendment = next(c for c in company.contracts if c.code == LATE_AMENDMENT)

    def first(wanted: Callable[[DemoTimeEntry, str], bool]) -> DemoTimeEntry:
        return next(e for e in company.entries if e.id in ordinary and wanted(e, ordinary[e.id]))

    disputed = first(lambda e, contract: contract == DISPUTED_CONTRACT and _minutes(e) == WHOLE_DAY)
    late = first(lambda e, contract: contract == _LATE and _is_at_home(company, e))
    return Plot(
        moved=first(lambda e, contract: contract == amendment.amends and e.project_id == _smallest(company, contract)),
        moved_to=next(p for p in company.projects if p.contract == _MOVED_TO),
        split=first(lambda e, _: e.project_id == disputed.project_id and 120 <= _minutes(e) < WHOLE_DAY),
        disputed=disputed,
        unapproved=_ordinary_week(company, ordinary, "US"),
        amendment=amendment,
        milestone=REOPENED_MILESTONE,
        unbilled=_UNBILLED,
        late=late,
        late_week=requests[late.id][0],
    )


def _requests(company: DemoCompany) -> dict[str, list[DemoApproval]]:
    requests: dict[str, list[DemoApproval]] = defaultdict(list)
    for approval in company.approvals:
        for entry_id in approval.entry_ids:
            requests[entry_id].append(approval)
    return requests


def _ordinary(company: DemoCompany, requests: dict[str, list[DemoApproval]]) -> Iterator[tuple[str, str]]:
    """Entries of the first month that are billed, and that nobody changes anyway, with their contracts."""
    changed = {*company.deletions_after_approval, *(edit.entry_id for edit in company.edits_after_approval)}
    for entry in company.entries:
        person, project = company.person_by_psa_id[entry.user_id], company.project_by_psa_id.get(entry.project_id or "")
        if project is None or project.contract is None or entry.id in changed or not entry.billable:
            continue
        known = person.hr_id is not None and person.compensation
        once = [a.state for a in requests[entry.id]] == [RequestState.APPROVED]
        month = ServiceMonth.of(service_date(entry.start, person.time_zone))
        open_there = project.in_erp and project.closed_on is None
        if known and once and open_there and str(month) == company.months[0]:
            yield entry.id, project.contract


def _ordinary_week(company: DemoCompany, ordinary: dict[str, str], entity: str) -> DemoApproval:
    """The first approved request of somebody of the entity that lists nothing but such entries, all for the entity."""
    return next(
        a
        for a in company.approvals
        if company.person_by_psa_id[a.user_id].legal_entity == entity
        and len(a.entry_ids) > 2
        and all(i in ordinary and _is_at_home(company, company.entry_by_id[i]) for i in a.entry_ids)
    )


def _is_at_home(company: DemoCompany, entry: DemoTimeEntry) -> bool:
    """Whether the entity that sells the work employs its author."""
    project = company.project_by_psa_id[str(entry.project_id)]
    return company.person_by_psa_id[entry.user_id].legal_entity == project.legal_entity


def _smallest(company: DemoCompany, contract: str) -> str:
    """The contract's project with the least time entries."""
    count = {p.psa_id: 0 for p in company.projects if p.contract == contract}
    for entry in company.entries:
        if entry.project_id in count:
            count[entry.project_id] += 1
    return min(count, key=lambda psa_id: count[psa_id])


def _minutes(entry: DemoTimeEntry) -> int:
    return 0 if entry.end is None else (entry.end - entry.start) // dt.timedelta(minutes=1)
