"""The demo company: a consulting group of three legal entities with two months of recorded work and expenses.

`build_company` is deterministic: the same seed and months give the same company, to the last id.
"""

import datetime as dt
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.sandbox.company_entries import as_agreed, build_work, find_dirt
from psa_erp_assets.sandbox.company_expenses import build_expenses
from psa_erp_assets.sandbox.company_master import ENTITIES, TAXES, build_master, hex_id
from psa_erp_assets.sandbox.company_model import DemoCompany, Dirt
from psa_erp_assets.sandbox.company_terms import agree

__all__ = ["DEFAULT_MONTHS", "DEFAULT_SEED", "DemoCompany", "Dirt", "build_company"]

DEFAULT_SEED = 20260901
DEFAULT_MONTHS = ("2026-09", "2026-10")


def build_company(seed: int = DEFAULT_SEED, months: Sequence[str] = DEFAULT_MONTHS) -> DemoCompany:
    """The company with work in consecutive service months, written as 2026-09. Raises ValueError for others."""
    parsed = [ServiceMonth.parse(m) for m in months]
    if not parsed or any(a.next() != b for a, b in itertools.pairwise(parsed)):
        raise ValueError(f"the months of the demo must follow one another, not {', '.join(months) or 'be none'}")
    rng = random.Random(seed)  # noqa: S311  # a demo that can be repeated, not a secret
    owner = hex_id(seed, "user", 0)
    master = build_master(rng, seed, parsed, closing=parsed[-1].first_day + dt.timedelta(days=13))
    work = build_work(rng, seed, parsed, master, approver=owner)
    agreed = agree(parsed, master)
    master = replace(master, contracts=agreed.contracts, projects=agreed.projects)
    work = as_agreed(seed, parsed, master, work)
    expenses, approvals = build_expenses(
        seed,
        parsed,
        projects=master.projects,
        entries=work.entries,
        approvals=work.approvals,
        zone_of={str(p.psa_id): p.time_zone for p in master.people if p.hr_id is not None},
    )
    return DemoCompany(
        seed=seed,
        months=tuple(months),
        workspace_id=hex_id(seed, "workspace", 1),
        owner_id=owner,
        entities=ENTITIES,
        customers=master.customers,
        contracts=master.contracts,
        people=master.people,
        projects=master.projects,
        fx_rates=master.fx_rates,
        taxes=TAXES,
        entries=work.entries,
        approvals=approvals,
        edits_after_approval=work.edits,
        deletions_after_approval=work.deletions,
        dirt=find_dirt(master, work),
        milestones=agreed.milestones,
        expenses=expenses,
    )
