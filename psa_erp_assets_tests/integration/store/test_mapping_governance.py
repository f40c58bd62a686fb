"""Mappings that stewards decide about, in a real store: what is proposed, what a decision releases, and its undoing."""

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import Engine, select

from psa_erp_assets.adapters.store import exceptions, mapping_stories, schema, work_heads
from psa_erp_assets.adapters.store import mapping_proposals as rows
from psa_erp_assets.adapters.store.schema_audit import audit_entry
from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.links import CANONICAL
from psa_erp_assets.domain.ownership import Governance
from psa_erp_assets.services import (
    mapping_decisions,
    mapping_effect,
    mapping_proposals,
    mapping_review,
    mapping_sources,
)
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.mapping_decisions import Wish
from psa_erp_assets.services.mapping_proposals import MappingRefusedError, Proposal
from psa_erp_assets.services.planning import make_plan
from psa_erp_assets_tests.support import mappings
from psa_erp_assets_tests.support.facts import DAY, FIRST, TENANT
from psa_erp_assets_tests.support.mappings import BEN, EMPLOYEE, SECOND_STEWARD, STEWARD, VIEWER
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master

LATER = NOW + dt.timedelta(hours=1)


def proposals(engine: Engine, state: str = "proposed") -> dict[tuple[str, str, str, str], Proposal]:
    with engine.connect() as connection:
        found = [mapping_proposals.of_row(row) for row in rows.listing(connection, TENANT, state=state)]
    return {(p.object_type, p.system, p.source_id, p.canonical_id): p for p in found}


def decided(engine: Engine) -> dict[str, Decision]:
    with engine.connect() as connection:
        return {
            d.object_id.rsplit(":", 1)[1]: d
            for partition in work_heads.partitions(connection, TENANT)
            for d in decide_partition(connection, SCOPE, partition).decisions
        }


def holds(engine: Engine, entry: str) -> set[str]:
    return {hold.code for hold in decided(engine)[entry].holds}


def accept(engine: Engine, proposal: Proposal, **changes: object) -> mapping_decisions.Outcome:
    given = {"actor": STEWARD, "valid_from": FIRST, "reason": "the same", "now": LATER} | changes
    return mapping_decisions.accept(engine, SCOPE, proposal.id, **given)  # type: ignore[arg-type]


def open_codes(engine: Engine, code: str) -> set[str]:
    with engine.connect() as connection:
        return {item["object_id"] for item in exceptions.list_items(connection, TENANT, code=code)}


BEN_IS_U2 = ("employee", "clockify", "u2", "EMP-0002")
OSPREY_IS_71 = ("customer", "tryton", "71", "CUS-0002")
SUPPORT_IS_LEDGER = ("contract", "clockify", "p2", "CTR-0001")
ACCOUNT_503 = ("project", "tryton", "503", "PRJ-0003")


def test_each_open_join_is_proposed_with_its_score_and_evidence(clean_store: Engine) -> None:
    """A steward would have to look for the pairs in four systems."""
    mappings.open_store(clean_store)
    found = proposals(clean_store)
    ben, osprey = found[BEN_IS_U2], found[OSPREY_IS_71]
    assert (ben.method, ben.score) == ("exact", Decimal("0.9700"))
    assert any("the same name" in line for line in ben.evidence)
    assert (osprey.method, osprey.score) == ("exact", Decimal("0.9700")), "legal forms are no part of a name"
    assert found[SUPPORT_IS_LEDGER].score >= Decimal("0.85")
    assert any("only contract" in line for line in found[SUPPORT_IS_LEDGER].evidence)
    assert found[ACCOUNT_503].method == "exact"
    assert ("project", "clockify", "p9", "PRJ-0003") in found
    assert all(Decimal(0) <= p.score <= 1 for p in found.values())


def test_looking_again_proposes_nothing_twice(clean_store: Engine) -> None:
    """The queue would grow with each refresh."""
    first = mappings.open_store(clean_store)
    assert first.proposed == len(proposals(clean_store)) > 0
    assert mappings.look(clean_store, LATER).proposed == 0


@pytest.mark.parametrize(
    ("what", "entry", "code"),
    [
        (BEN_IS_U2, "e2", "unknown_employee"),
        (SUPPORT_IS_LEDGER, "e3", "unknown_project"),
    ],
)
def test_an_accepted_proposal_releases_what_waited_for_it(
    clean_store: Engine, what: tuple[str, str, str, str], entry: str, code: str
) -> None:
    """Accepting would change a list, and the work would go on to wait."""
    mappings.open_store(clean_store)
    assert code in holds(clean_store, entry)
    for partition in (("UK", "2026-09"), ("US", "2026-09")):
        make_plan(clean_store, SCOPE, partition, now=NOW, created_by="test")
    made = accept(clean_store, proposals(clean_store)[what])
    decision = decided(clean_store)[entry]
    assert (decision.outcome, decision.holds) == (Outcome.POST, ())
    assert made.touched > 0
    with clean_store.connect() as connection:
        dirty = work_heads.dirty_objects(connection, TENANT, ("UK", "2026-09"))
    assert f"time_entry:clockify:{entry}" in dirty, "the next plan has it without a refresh"


def test_a_customer_and_its_account_are_mapped(clean_store: Engine) -> None:
    """Work for a customer whom finance has under another code would wait for ever."""
    mappings.open_store(clean_store)
    assert holds(clean_store, "e4") >= {"customer_not_in_erp", "project_not_in_erp"}
    accept(clean_store, proposals(clean_store)[OSPREY_IS_71])
    assert "customer_not_in_erp" not in holds(clean_store, "e4")
    accept(clean_store, proposals(clean_store)[ACCOUNT_503])
    decision = decided(clean_store)["e4"]
    assert decision.outcome is Outcome.POST
    line = decision.effect(EffectType.BILLING_LINE)
    assert line is not None
    assert (line.party, line.analytic) == ("71", "503")  # type: ignore[union-attr]


def test_a_mapping_counts_from_its_day_to_its_day(clean_store: Engine) -> None:
    """Edge case 16: what changed in mid-month would be billed as if it had always been so."""
    mappings.open_store(clean_store)
    accept(clean_store, proposals(clean_store)[BEN_IS_U2], valid_from=DAY + dt.timedelta(days=1), valid_to=None)
    assert "unknown_employee" in holds(clean_store, "e2"), "the work of the day before"
    assert holds(clean_store, "e5") == set()


def test_the_effect_is_shown_and_taken_back(clean_store: Engine) -> None:
    """What is shown would differ from what is then done, or looking at it would do it."""
    mappings.open_store(clean_store)
    proposal = proposals(clean_store)[BEN_IS_U2]
    wish = Wish(
        object_type="employee", system="clockify", source_ids=("u2",), canonical_id="EMP-0002", valid_from=FIRST,
        method="exact",
    )  # fmt: skip
    before = decided(clean_store)
    effect = mapping_effect.effect_of(clean_store, SCOPE, wish, now=LATER)
    assert decided(clean_store) == before
    assert (effect.released, effect.released_minutes) == (2, 165)
    [billing] = [a for a in effect.amounts if a.effect_type == "billing_line"]
    assert (billing.contract_id, billing.currency, billing.before) == ("CTR-0001", "GBP", Decimal("100.00"))
    accept(clean_store, proposal)
    after = decided(clean_store)
    total = sum(line.amount.amount for d in after.values() if (line := d.effect(EffectType.BILLING_LINE)) is not None)
    assert billing.after == total == Decimal("375.00")


def test_moved_work_is_shown_in_the_contract_that_it_moves_to(clean_store: Engine) -> None:
    """A contract's month would be shown without what comes to it."""
    mappings.open_store(clean_store)
    wish = Wish(
        object_type="contract", system="clockify", source_ids=("p2",), canonical_id="CTR-0001", valid_from=FIRST,
        method="fuzzy",
    )  # fmt: skip
    effect = mapping_effect.effect_of(clean_store, SCOPE, wish, now=LATER)
    assert (effect.released, effect.moved) == (1, 1)
    assert {(a.contract_id, a.after - a.before) for a in effect.amounts if a.effect_type == "billing_line"} == {
        ("CTR-0001", Decimal("135.00"))
    }


@pytest.mark.parametrize("entity", ["UK", "US", "DE"])
def test_the_effect_is_cut_to_the_legal_entities_of_whoever_asks(clean_store: Engine, entity: str) -> None:
    """Somebody with a role for one entity would read what another one bills, or believe that nothing happens there."""
    mappings.open_store(clean_store)
    wish = Wish(
        object_type="contract", system="clockify", source_ids=("p2",), canonical_id="CTR-0001", valid_from=FIRST,
        method="fuzzy",
    )  # fmt: skip
    everything = mapping_effect.effect_of(clean_store, SCOPE, wish, now=LATER)
    assert not everything.elsewhere
    effect = mapping_effect.effect_of(clean_store, SCOPE, wish, now=LATER, entities=frozenset({entity}))
    assert effect.elsewhere, "the work leaves the employer's books for those of the contract's seller"
    told = (effect.moved, effect.changed, effect.released, effect.released_minutes, len(effect.amounts) > 0)
    assert (
        told
        == {
            "UK": (1, 1, 1, 90, True),
            "US": (1, 1, 0, 0, False),
            "DE": (0, 0, 0, 0, False),
        }[entity]
    )
    if entity == "UK":
        assert effect.amounts == everything.amounts
    both = mapping_effect.effect_of(clean_store, SCOPE, wish, now=LATER, entities=frozenset({"UK", "US"}))
    assert both == everything


def test_a_rejected_proposal_does_not_come_back(clean_store: Engine) -> None:
    """A steward would say no each hour."""
    mappings.open_store(clean_store)
    proposal = proposals(clean_store)[BEN_IS_U2]
    mapping_decisions.reject(clean_store, SCOPE, proposal.id, actor=STEWARD, reason="another Ben", now=LATER)
    mappings.look(clean_store, LATER)
    assert BEN_IS_U2 not in proposals(clean_store)
    assert proposals(clean_store, "rejected")[BEN_IS_U2].why == "another Ben"


def test_what_a_person_proposes_another_one_decides(clean_store: Engine) -> None:
    """Four eyes: one person could map, and so bill, what they like."""
    mappings.open_store(clean_store)
    proposal_id = mapping_proposals.propose(
        clean_store, SCOPE, object_type="project", system="clockify", source_id="p9", canonical_id="PRJ-0001",
        actor=STEWARD, now=NOW,
    )  # fmt: skip
    by_hand = proposals(clean_store)["project", "clockify", "p9", "PRJ-0001"]
    assert (by_hand.id, by_hand.method) == (proposal_id, "by_hand")
    with pytest.raises(MappingRefusedError, match="somebody else"):
        accept(clean_store, by_hand)
    accept(clean_store, by_hand, actor=SECOND_STEWARD)


@pytest.mark.parametrize(("actor", "why"), [(VIEWER, "stewards"), (SECOND_STEWARD, "decided by sam")])
def test_only_stewards_of_the_type_decide(clean_store: Engine, actor: object, why: str) -> None:
    """Whoever can look could decide, or a steward of customers about employees."""
    mappings.open_store(clean_store)
    proposal = proposals(clean_store)[BEN_IS_U2]
    scope = type(SCOPE)(
        tenant=TENANT, rules=SCOPE.rules, first_day=FIRST,
        governance=Governance(stewards={"employee": frozenset({"sam"})}),
    )  # fmt: skip
    with pytest.raises(MappingRefusedError, match=why):
        mapping_decisions.accept(
            clean_store,
            scope,
            proposal.id,
            actor=actor,
            valid_from=FIRST,
            reason="so",
            now=LATER,  # type: ignore[arg-type]
        )
    assert BEN_IS_U2 in proposals(clean_store)


def test_the_exact_key_keeps_its_priority_and_the_contradiction_is_an_item(clean_store: Engine) -> None:
    """HR corrects an address and the work of two people is taken for one's."""
    mappings.open_store(clean_store)
    accept(clean_store, proposals(clean_store)[BEN_IS_U2])
    exact = type(BEN)(**{name: getattr(EMPLOYEE, name) for name in EMPLOYEE.__slots__} | {"psa_user_id": "u2"})
    ben_without = type(BEN)(**{name: getattr(BEN, name) for name in BEN.__slots__})
    mappings.open_store(clean_store, now=LATER, employees=(exact, ben_without))
    assert {hold.code for hold in decided(clean_store)["e2"].holds} == set()
    line = decided(clean_store)["e2"].effect(EffectType.BILLING_LINE)
    assert line is not None
    assert line.employee_name == "Ada Jones"  # type: ignore[union-attr]
    assert open_codes(clean_store, "mapping_conflict") == {"mapping:employee:clockify:u2"}
    with clean_store.connect() as connection:
        [decision] = mapping_decisions.past_decisions(connection, TENANT)
    mapping_decisions.undo(clean_store, SCOPE, decision.id, actor=STEWARD, reason="HR was right", now=LATER)
    assert open_codes(clean_store, "mapping_conflict") == set()


def test_a_split_moves_a_project_to_another_contract_from_a_day_on(clean_store: Engine) -> None:
    """Edge case 16: the client changes its contract in mid-project, and old work would move along."""
    mappings.open_store(clean_store)
    wish = Wish(
        object_type="contract", system="clockify", source_ids=("p1",), canonical_id="CTR-0002",
        valid_from=DAY + dt.timedelta(days=1),
    )  # fmt: skip
    accept(clean_store, proposals(clean_store)[BEN_IS_U2])
    made = mapping_decisions.split(clean_store, SCOPE, wish, actor=STEWARD, reason="new contract", now=LATER)
    found = decided(clean_store)
    assert (found["e2"].route.contract_id, found["e5"].route.contract_id) == ("CTR-0001", "CTR-0002")
    mapping_decisions.undo(clean_store, SCOPE, made.decision_id, actor=STEWARD, reason="not signed", now=LATER)
    assert decided(clean_store)["e5"].route.contract_id == "CTR-0001"


def test_a_merged_customer_is_billed_as_the_one_that_takes_its_place(clean_store: Engine) -> None:
    """Edge case 21: two customers of the CRM that the ERP has as one."""
    mappings.open_store(clean_store)
    accept(clean_store, proposals(clean_store)[ACCOUNT_503])
    wish = Wish(
        object_type="customer", system=CANONICAL, source_ids=("CUS-0002",), canonical_id="CUS-0001",
        valid_from=FIRST, method="merge",
    )  # fmt: skip
    mapping_decisions.merge(clean_store, SCOPE, wish, actor=STEWARD, reason="one buyer", now=LATER)
    line = decided(clean_store)["e4"].effect(EffectType.BILLING_LINE)
    assert line is not None
    assert line.party == "70"  # type: ignore[union-attr]
    back = Wish(
        object_type="customer", system=CANONICAL, source_ids=("CUS-0001",), canonical_id="CUS-0002",
        valid_from=FIRST, method="merge",
    )  # fmt: skip
    with pytest.raises(MappingRefusedError, match="its own place"):
        mapping_decisions.merge(clean_store, SCOPE, back, actor=STEWARD, reason="circle", now=LATER)


def test_an_older_decision_is_undone_after_the_later_one(clean_store: Engine) -> None:
    """What the later decision said would be undone along with it, unseen."""
    mappings.open_store(clean_store)
    first = accept(clean_store, proposals(clean_store)[BEN_IS_U2])
    wish = Wish(
        object_type="employee", system="clockify", source_ids=("u2",), canonical_id="EMP-0001", valid_from=DAY
    )  # fmt: skip
    second = mapping_decisions.split(clean_store, SCOPE, wish, actor=STEWARD, reason="handed over", now=LATER)
    with pytest.raises(MappingRefusedError, match=f"decision {second.decision_id} came later"):
        mapping_decisions.undo(clean_store, SCOPE, first.decision_id, actor=STEWARD, reason="no", now=LATER)
    third = mapping_decisions.undo(clean_store, SCOPE, second.decision_id, actor=STEWARD, reason="no", now=LATER)
    with clean_store.connect() as connection:
        [span] = mapping_stories.stories(connection, TENANT, "employee", "clockify", ["u2"])["u2"]
    assert (span.canonical_id, span.valid_from, span.valid_to) == ("EMP-0002", FIRST, None)
    assert third.decision_id > second.decision_id


def test_one_party_cannot_be_claimed_twice(clean_store: Engine) -> None:
    """Two source ids would claim one customer, and which is billed would be chance."""
    mappings.open_store(clean_store)
    accept(clean_store, proposals(clean_store)[OSPREY_IS_71])
    second = mapping_proposals.propose(
        clean_store, SCOPE, object_type="customer", system="tryton", source_id="72", canonical_id="CUS-0002",
        actor=SECOND_STEWARD, now=LATER,
    )  # fmt: skip
    with pytest.raises(MappingRefusedError, match="can have one only"):
        mapping_decisions.accept(clean_store, SCOPE, second, actor=STEWARD, valid_from=FIRST, reason="so", now=LATER)


def test_conflicts_and_orphans_are_listed(clean_store: Engine) -> None:
    """Nobody would know of a record that two systems do not share."""
    mappings.open_store(clean_store)
    twice = (*mappings.USERS, mappings.user("u3", "Ada J.", "ada@example.com"))
    mappings.read(clean_store, users=twice, now=LATER)
    with clean_store.connect() as connection:
        records = mapping_sources.load(connection, SCOPE)
    [conflict] = mapping_review.conflicts(records)
    assert "2 PSA users have one key, ada@example.com: u1, u3" in conflict.detail
    orphans = {(o.what, o.id) for o in mapping_review.orphans(records)}
    assert {("PSA user", "u2"), ("PSA user", "u3"), ("PSA project", "p9"), ("ERP party", "72")} <= orphans
    assert {("employee", "EMP-0002"), ("project", "PRJ-0002")} <= orphans


def test_every_decision_is_an_audit_entry(clean_store: Engine) -> None:
    """Who said that two records are one could not be told a year later."""
    mappings.open_store(clean_store)
    made = accept(clean_store, proposals(clean_store)[BEN_IS_U2])
    mapping_decisions.undo(clean_store, SCOPE, made.decision_id, actor=STEWARD, reason="not so", now=LATER)
    with clean_store.connect() as connection:
        entries = connection.execute(select(audit_entry.c.kind, audit_entry.c.actor).order_by(audit_entry.c.id)).all()
    assert [tuple(e) for e in entries] == [("mapping.accepted", "sam"), ("mapping.undone", "sam")]


def test_exact_keys_and_decisions_are_kept_apart(clean_store: Engine) -> None:
    """A refresh would end what stewards have decided."""
    from psa_erp_assets.adapters.store import mappings as exact_mappings

    mappings.open_store(clean_store)
    accept(clean_store, proposals(clean_store)[BEN_IS_U2])
    for ids in ({("clockify", "u2"): "EMP-0009"}, {}):
        with clean_store.begin() as connection:
            exact_mappings.replace_all(
                connection, tenant=TENANT, object_type="employee", ids=ids, method="exact key", now=LATER
            )
    with clean_store.connect() as connection:
        kept = connection.execute(
            select(schema.mapping.c.canonical_id).where(
                schema.mapping.c.decision_id.is_not(None), schema.mapping.c.valid_to.is_(None)
            )
        ).scalars()
        assert list(kept) == ["EMP-0002"]


def test_master_data_alone_changes_nothing_here(clean_store: Engine) -> None:
    """Without any reading there would be nothing to match and everything would be an orphan."""
    keep_master(clean_store)
    assert mappings.look(clean_store).proposed == 0
