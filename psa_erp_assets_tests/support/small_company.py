"""A few contracts of the demo company, so that a whole synchronization takes a second or two."""

from dataclasses import replace

from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.company_model import DemoCompany, DemoTimeEntry, RequestState

CONTRACTS = ("CTR-0001", "CTR-0022", "CTR-0031")
"""Time and materials, each in the currency of its legal entity: US, UK, DE."""


def small_company(per_contract: int = 14) -> DemoCompany:
    """The demo company with the first entries of a contract of each legal entity, and whoever recorded them.

    Every entry has minutes, and every request is either approved or still pending.
    """
    company = build_company()
    projects = tuple(p for p in company.projects if p.contract in CONTRACTS)
    contract_of = {p.psa_id: p.contract for p in projects}
    chosen: list[DemoTimeEntry] = []
    for contract in CONTRACTS:
        mine = [e for e in company.entries if contract_of.get(e.project_id or "") == contract and e.billable]
        chosen += [e for e in sorted(mine, key=lambda e: e.start) if e.end and e.end > e.start][:per_contract]
    ids, users = {e.id for e in chosen}, {e.user_id for e in chosen}
    approvals = [
        replace(a, entry_ids=tuple(i for i in a.entry_ids if i in ids), expense_ids=()) for a in company.approvals
    ]
    once: set[str] = set()
    kept = []
    for approval in approvals:
        if not approval.entry_ids or once & set(approval.entry_ids):
            continue
        once |= set(approval.entry_ids)
        pending = approval.state is not RequestState.APPROVED
        kept.append(replace(approval, state=RequestState.PENDING) if pending else approval)
    return replace(
        company,
        people=tuple(p for p in company.people if p.psa_id in users),
        customers=tuple(c for c in company.customers if c.code in {p.customer for p in projects}),
        contracts=tuple(c for c in company.contracts if c.code in CONTRACTS),
        projects=tuple(
            replace(p, staff={e: r for e, r in p.staff.items() if e in _emails(company, users)}) for p in projects
        ),
        entries=tuple(chosen),
        approvals=tuple(kept),
        edits_after_approval=(),
        deletions_after_approval=(),
        dirt={},
        milestones=(),
        expenses=(),
    )


def _emails(company: DemoCompany, users: set[str]) -> set[str]:
    return {p.email for p in company.people if p.psa_id in users}


def approved_entries(company: DemoCompany, contract: str) -> list[DemoTimeEntry]:
    """The approved entries of a contract, in the order of their days."""
    projects = {p.psa_id for p in company.projects if p.contract == contract}
    approved = {i for a in company.approvals if a.state is RequestState.APPROVED for i in a.entry_ids}
    return [e for e in company.entries if e.id in approved and e.project_id in projects]
