"""What is to be done for contracts' months: what should exist less what does. Nothing is written."""

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
from psa_erp_assets.services.deciding import decide_partition, head_of
from psa_erp_assets.services.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What there is to do for one contract's month. `facts_hash` is of the decisions, the ledger and the items."""

    items: tuple[PlanItem, ...]
    facts_hash: str

    def without_retries(self) -> "Draft":
        """The same without all that is to be done about what was rejected."""
        rejected = {(i.object_id, i.effect_type) for i in self.items if i.action is Action.RETRY}
        kept = tuple(i for i in self.items if (i.object_id, i.effect_type) not in rejected)
        return replace(self, items=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """The drafts of some contracts of a partition, with all that is decided about them.

    `closings` are what the contracts' month leaves to the next. `elsewhere` are decisions of the same month that are
    another entity's.
    """

    by_contract: Mapping[str | None, Draft]
    decisions: tuple[Decision, ...]
    elsewhere: tuple[Decision, ...]
    closings: Mapping[str, Balance]


def make_drafts(
    connection: Connection,
    store: PgPostingStore,
    scope: Scope,
    partition: Partition,
    contracts: Collection[str | None],
    *,
    decider: Decider,
) -> Drafts:
    """The drafts of some contracts of a partition, from what is stored now. Each is what it would be alone."""
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
    of_contract: dict[str | None, list[Decision]] = {contract_id: [] for contract_id in contracts}
    for decision in found.decisions:
        kept_under = found.contracts.get(head_of(decision), decision.route.contract_id)
        # A fact on its way to another contract brings that one's own objects along, which are its own draft's.
        if kept_under in of_contract:
            of_contract[kept_under].append(decision)

    def draft(decisions: Sequence[Decision]) -> Draft:
        items: list[PlanItem] = []
        facts = [decision.digest for decision in decisions]
        for decision in decisions:
            postings = made.get(decision.object_id, ())
            items += plan_entry(
                decision,
                postings,
                on_document,
                scope.tenant,
                closed=closed,
                cancelled=cancelled,
                standing=standing,
            )
            facts += [f"{p.key} {p.state} {p.key in on_document} {p.key in cancelled}" for p in postings]
        facts += [f"{item.action} {item.key}" for item in items]
        return Draft(items=tuple(items), facts_hash=text_hash("\n".join(facts)))

    return Drafts(
        by_contract={contract_id: draft(decisions) for contract_id, decisions in of_contract.items()},
        decisions=found.decisions,
        elsewhere=found.elsewhere,
        closings=found.closings,
    )
