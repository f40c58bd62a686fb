"""What is to be done for one contract's month: what should exist less what does. Nothing is written."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import erp_documents
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision
from psa_erp_assets.domain.keys import text_hash
from psa_erp_assets.domain.plan import Action, PlanItem, plan_entry
from psa_erp_assets.domain.posting import Posting, State
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is decided about some contracts of a partition, and what there is to do.

    `facts_hash` is of the decisions, the ledger and the items; `closings` are what the contracts' month leaves to the
    next. `elsewhere` are decisions of the same month that are another entity's.
    """

    items: tuple[PlanItem, ...]
    decisions: tuple[Decision, ...]
    facts_hash: str
    closings: Mapping[str, Balance]
    elsewhere: tuple[Decision, ...] = ()

    def without_retries(self) -> "Draft":
        """The same without all that is to be done about what was rejected."""
        rejected = {(i.object_id, i.effect_type) for i in self.items if i.action is Action.RETRY}
        kept = tuple(i for i in self.items if (i.object_id, i.effect_type) not in rejected)
        return replace(self, items=kept)


def make_draft(
    connection: Connection,
    store: PgPostingStore,
    scope: Scope,
    partition: Partition,
    contracts: Collection[str | None],
    *,
    decider: Decider,
) -> Draft:
    """The draft of some contracts of a partition, from what is stored now."""
    found = decide_partition(connection, scope, partition, contracts, decider=decider)
    made: dict[str, list[Posting]] = defaultdict(list)
    for posting in store.of_objects([d.object_id for d in found.decisions], connection=connection):
        made[posting.object_id].append(posting)
    # Of what was taken back as well: finance may cancel its invoice, or the credit note that took it back.
    in_erp = [p.key for of_object in made.values() for p in of_object if p.state in (State.VERIFIED, State.REVERSED)]
    on_document = erp_documents.on_document(connection, scope.tenant, in_erp)
    cancelled = erp_documents.cancelled(connection, scope.tenant, on_document)
    reversed_ = [p.key for of_object in made.values() for p in of_object if p.state is State.REVERSED]
    standing = erp_documents.standing(connection, scope.tenant, reversed_)
    closed = {
        (entity.erp_company, month): code
        for code, month in decider.master.closed_periods
        if (entity := decider.master.legal_entity(code)) is not None
    }
    nothing: Sequence[Posting] = ()
    items = tuple(
        item
        for decision in found.decisions
        for item in plan_entry(
            decision,
            made.get(decision.object_id, nothing),
            on_document,
            scope.tenant,
            closed=closed,
            cancelled=cancelled,
            standing=standing,
        )
    )
    facts = [decision.digest for decision in found.decisions]
    facts += [
        f"{posting.key} {posting.state} {posting.key in on_document} {posting.key in cancelled}"
        for decision in found.decisions
        for posting in made.get(decision.object_id, nothing)
    ]
    facts += [f"{item.action} {item.key}" for item in items]
    return Draft(
        items=items,
        decisions=found.decisions,
        facts_hash=text_hash("\n".join(facts)),
        closings=found.closings,
        elsewhere=found.elsewhere,
    )
