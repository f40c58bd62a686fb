"""What people do in the demo: finance, consultants, project and account managers, each by their own system's means.

What belongs here: their acts, and what finance looks at first. What does not: the sync's steps (`demo`).
"""

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from psa_erp_assets.adapters.connectors.tryton.read_back import BookedDocument
from psa_erp_assets.adapters.store import plan_lists, plans
from psa_erp_assets.adapters.store.plans import StoredPlan
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.closed_periods import Choice
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.sandbox.company_model import RequestState
from psa_erp_assets.sandbox.company_plot import Plot
from psa_erp_assets.sandbox.company_terms import RATE_CARD_CONTRACT
from psa_erp_assets.sandbox.world import World
from psa_erp_assets.services import period_choices, plan_review, sync
from psa_erp_assets.services import status as statuses
from psa_erp_assets.services.credits import request_credit
from psa_erp_assets.services.read_back import erp_company
from psa_erp_assets.services.runtime import Runtime

# A legal entity's lines that finance puts on invoices in the demo, more or less: whole projects.
LINES_INVOICED = 10
_HINTS_SECONDS = 60.0
_CREDITED_MINUTES = 210
_FORGOTTEN_MINUTES = 45
_HEAD_OF_FINANCE = "Head of finance"
_APPROVAL_NOTE = (
    "The customer has not accepted the first plant; the project manager confirms the credit of its milestone"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A plan that waited for somebody: why, who has approved it, and what they said."""

    plan: int
    legal_entity: str
    service_month: str
    why: str
    by: str
    note: str


class Story:
    """The people of the demo. Every method raises what their systems answer with."""

    def __init__(self, world: World, runtime: Runtime, plot: Plot) -> None:
        self.world, self.runtime, self.plot = world, runtime, plot

    @property
    def closes(self) -> str:
        """The code of the legal entity that closes the first month."""
        project = self.world.company.project_by_psa_id[str(self.plot.late.project_id)]
        return project.legal_entity

    @property
    def cancels(self) -> str:
        """The code of the legal entity that cancels an invoice."""
        return next(c.legal_entity for c in self.world.company.contracts if c.code == self.plot.unbilled)

    def invoice(self, partitions: Sequence[Partition]) -> None:
        """Finance invoices its first projects of the month, posts some cost entries, and books the first payments.

        Not all of them: Tryton takes ten seconds to post an invoice of fifty lines. Projects whose work will change
        afterwards come first, so that there is something to credit. One invoice is cancelled at once.
        """
        finance, late, cancelled = self.world.finance, self._keys_of_late_changes(), self._keys_to_cancel(partitions)
        for entity, named in partitions:
            company, month = erp_company(self.runtime, entity), ServiceMonth.parse(named)
            lines = self.runtime.erp_reader.billing_lines(company, month, month)
            chosen = _first_projects(lines, late | cancelled)
            on = month.last_day
            # On an invoice of its own, which is posted, not paid, and cancelled.
            wrong = [line.document.erp_id for line in chosen if line.key in cancelled]
            right = [line.document.erp_id for line in chosen if line.key not in cancelled]
            invoices = finance.invoice_lines(company, on=on, line_ids=right)
            wrong_ones = finance.invoice_lines(company, on=on, line_ids=wrong) if wrong else []
            finance.post_invoices(company, invoices + wrong_ones)
            finance.post_moves(company, finance.draft_moves(company, month)[:LINES_INVOICED])
            for invoice in invoices[::2]:
                finance.register_payment(company, invoice, on=on + dt.timedelta(days=30))
            for invoice in wrong_ones:
                finance.cancel_invoice(company, invoice)

    def change_minds(self) -> None:
        """All that is thought better of once the first month is invoiced; webhooks announce what they can.

        Consultants edit and delete approved time, move an entry to another project and split one in two. The approval
        of a week is taken back. A project's rate goes up for both months, a milestone is reopened, an amendment is
        signed late, and the customer disputes some hours of a day.
        """
        company, people, plot = self.world.company, self.world.people, self.plot
        changed = [*people.play_edits_after_approval(), *people.play_deletions_after_approval()]
        people.edit_entry(plot.moved.id, project_id=plot.moved_to.psa_id)
        assert plot.split.end is not None
        minutes = (plot.split.end - plot.split.start) // dt.timedelta(minutes=1)
        people.edit_entry(plot.split.id, minutes=minutes // 2)
        rest = plot.split.start + dt.timedelta(minutes=minutes // 2)
        people.record_entry(plot.split.user_id, plot.split.project_id, rest, minutes - minutes // 2)
        [week] = [a for a in company.approvals if plot.split.id in a.entry_ids]
        people.approve([people.submit_week(plot.split.user_id, week.start)])
        people.decide(plot.unapproved.id, RequestState.WITHDRAWN_APPROVAL, "Approved too early")
        project = next(p for p in company.projects if p.in_erp and p.billable and p.rate is not None)
        assert project.rate is not None
        people.set_project_rate(project.psa_id, int(project.rate * 100) + 500)
        people.reopen_milestone(plot.milestone)
        people.change_deal(plot.amendment.crm_id, dealstage="closedwon")
        request_credit(
            self.runtime.engine,
            self.runtime.scope,
            plot.disputed.id,
            minutes=_CREDITED_MINUTES,
            rebill=True,
            in_erp=False,
            reason="The customer disputes 3.5 of the 8 hours; they are billed once more when that is settled",
            requested_by="Account manager",
            now=self.runtime.clock(),
        )
        self._wait_for_webhooks([*changed, plot.moved.id, plot.split.id, *plot.unapproved.entry_ids])

    def waiting(self) -> list[StoredPlan]:
        """The plans that nobody applies before somebody approves them."""
        tenant = self.runtime.settings.tenant
        with self.runtime.engine.connect() as connection:
            ids = {
                plan_id
                for partition in sync.all_partitions(self.runtime)
                for plan_id in plan_lists.under_review(connection, tenant, partition)
            }
            found = [plans.load(connection, tenant, plan_id) for plan_id in sorted(ids)]
        return [plan for plan in found if plan is not None and plan.status == "proposed"]

    def approve_plans(self) -> list[Approved]:
        """The head of finance looks at each plan that waits, asks why, and approves it."""
        waiting = self.waiting()
        for plan in waiting:
            plan_review.review(
                self.runtime.engine,
                self.runtime.scope,
                plan.id,
                approve=True,
                reviewed_by=_HEAD_OF_FINANCE,
                note=_APPROVAL_NOTE,
                now=self.runtime.clock(),
            )
        return [
            Approved(
                plan=plan.id,
                legal_entity=plan.partition[0],
                service_month=plan.partition[1],
                why="; ".join(plan.approval_reasons),
                by=_HEAD_OF_FINANCE,
                note=_APPROVAL_NOTE,
            )
            for plan in waiting
        ]

    def close_month(self, month: ServiceMonth) -> None:
        """One legal entity's finance posts the month's entries and closes it; meanwhile late time is approved.

        The week whose approval was taken back is submitted and approved again, and somebody who works for the entity
        submits what they forgot.
        """
        finance, people, plot = self.world.finance, self.world.people, self.plot
        company = erp_company(self.runtime, self.closes)
        finance.post_moves(company, finance.draft_moves(company, month))
        finance.close_period(company, month)
        people.approve([people.submit_week(plot.unapproved.user_id, plot.unapproved.start, again=True)])
        assert plot.late.end is not None
        forgotten = people.record_entry(
            plot.late.user_id, plot.late.project_id, plot.late.end + dt.timedelta(hours=3), _FORGOTTEN_MINUTES
        )
        people.approve([people.submit_week(plot.late.user_id, plot.late_week.start)])
        self._wait_for_webhooks([*plot.unapproved.entry_ids, forgotten])

    def choose(self, month: ServiceMonth) -> int:
        """The controller lets everything that waits for the closed month go to the next one; how much that is."""
        engine, scope = self.runtime.engine, self.runtime.scope
        waiting = period_choices.waiting_effects(engine, scope)
        for effect in waiting:
            period_choices.choose(
                engine,
                scope,
                effect.object_id,
                effect_type=effect.effect_type,
                choice=Choice.POST_TO_OPEN,
                posting_date=month.next().first_day,
                reason="Approved after the month was closed",
                chosen_by="Controller",
                now=self.runtime.clock(),
            )
        return len(waiting)

    def _wait_for_webhooks(self, changed: Sequence[str]) -> None:
        """Until the console has handled what the PSA sent, and as many entries wait as have changed."""
        deadline = time.monotonic() + _HINTS_SECONDS
        while time.monotonic() < deadline:
            with self.runtime.engine.connect() as connection:
                found = statuses.status(connection, self.runtime.settings.tenant)
            if not found.deliveries_pending and found.entries_dirty >= len(changed):
                return
            time.sleep(0.2)
        raise TimeoutError(
            f"the console did not handle the webhooks of {len(changed)} changes in {_HINTS_SECONDS:.0f} s"
        )

    def _keys_of_late_changes(self) -> frozenset[str]:
        """The keys of lines whose work will change, one project an entity or two: they are invoiced first."""
        plot, company = self.plot, self.world.company
        objects = [plot.moved.id, plot.disputed.id]
        objects += [edit.entry_id for edit in company.edits_after_approval if self._is_by_card(edit.entry_id)]
        ids = [*(f"time_entry:clockify:{entry_id}" for entry_id in objects), f"milestone:kantata:{plot.milestone}"]
        return frozenset(posting.key for posting in self.runtime.postings.of_objects(ids))

    def _is_by_card(self, entry_id: str) -> bool:
        project = self.world.company.entry_by_id[entry_id].project_id
        return project is not None and (self.world.company.project_by_psa_id[project].contract == RATE_CARD_CONTRACT)

    def _keys_to_cancel(self, partitions: Sequence[Partition]) -> frozenset[str]:
        """The keys of the lines whose invoice finance cancels."""
        months = {month for _, month in partitions}
        postings = [p for month in months for p in self.runtime.postings.of_contract_month(self.plot.unbilled, month)]
        return frozenset(p.key for p in postings if p.effect_type is EffectType.BILLING_LINE)


def _first_projects(lines: Sequence[BookedDocument], first: AbstractSet[str]) -> list[BookedDocument]:
    """The draft lines of whole projects: all with a line among `first`, those with a fee alone, and the smallest others
    until it is enough.
    """
    of_project: dict[tuple[str, str | None], list[BookedDocument]] = defaultdict(list)
    for line in lines:
        if line.document.document is None and line.party is not None:
            of_project[line.party, line.analytic].append(line)
    chosen: list[BookedDocument] = []
    for own in sorted(of_project.values(), key=lambda own: (not any(d.key in first for d in own), len(own))):
        if len(chosen) < LINES_INVOICED or len(own) == 1 or any(d.key in first for d in own):
            chosen += own
    return chosen
