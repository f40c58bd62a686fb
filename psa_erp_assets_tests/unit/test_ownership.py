"""Who owns a field: what is a drift and what is none, and what the settings say about it."""

import shutil
from pathlib import Path

import pytest

from psa_erp_assets.domain.decide import decide
from psa_erp_assets.domain.decision import Outcome
from psa_erp_assets.domain.ownership import FIELDS, FieldOwner, Governance, Held, OnChange, drifts
from psa_erp_assets.domain.records import ApprovalState
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.settings import REPOSITORY, ConfigError, Settings, load_settings
from psa_erp_assets_tests.support.facts import RULES, make_entry, make_master

RULE = FieldOwner(entity="customer", field="name", system="crm", on_change=OnChange.PROPOSE)


def held(system: str, value: str | None) -> Held:
    return Held(system=system, source_id=f"{system}-1", value=value)


@pytest.mark.parametrize("value", ["Kestrel", " Kestrel "])
def test_spaces_are_no_drift(value: str) -> None:
    """The report would be full of what nobody sees."""
    assert drifts(RULE, "CUS-0001", (held("crm", "Kestrel"), held("erp", value))) == []


@pytest.mark.parametrize("value", ["kestrel", "Kestrel Ltd", "", None])
def test_another_value_is_a_drift_with_both(value: str | None) -> None:
    """Somebody would have to look both up."""
    [drift] = drifts(RULE, "CUS-0001", (held("erp", value), held("crm", "Kestrel")))
    assert (drift.owner.value, drift.other.value, drift.on_change) == ("Kestrel", value, OnChange.PROPOSE)


def test_without_the_owner_there_is_nothing_to_compare_with() -> None:
    """An orphan would be reported twice, once as a drift from nothing."""
    assert drifts(RULE, "CUS-0001", (held("erp", "Kestrel"),)) == []


def test_addresses_are_compared_without_their_case() -> None:
    """Every capital letter in HR would be a drift."""
    rule = FieldOwner(entity="employee", field="email", system="hr", on_change=OnChange.HOLD)
    assert drifts(rule, "E", (held("hr", "Ada@X.example"), held("psa", "ada@x.example"))) == []


def test_a_list_of_stewards_is_the_whole_list() -> None:
    """A steward of customers would decide about employees."""
    rules = Governance(stewards={"employee": frozenset({"sam"})})
    assert [rules.may_decide("employee", who) for who in ("sam", "kim")] == [True, False]
    assert rules.may_decide("customer", "kim")


def test_work_on_a_contested_record_waits() -> None:
    """Settings that hold work until two systems agree would hold nothing."""
    plain = decide(make_entry(), make_master(), RULES)
    assert plain.outcome is Outcome.POST
    for key in (("customer", "CUS-0001"), ("employee", "EMP-0001"), ("project", "PRJ-0001"), ("contract", "CTR-0001")):
        decision = decide(make_entry(), make_master(contested={key: "they differ"}), RULES)
        assert decision.outcome is Outcome.HOLD
        assert {hold.code for hold in decision.holds} == {"field_drift"}


def settings_with(tmp_path: Path, text: str) -> Settings:
    shutil.copytree(REPOSITORY / "data" / "config", tmp_path / "config")
    (tmp_path / "config" / "ownership.yaml").write_text(text, encoding="utf-8")
    return load_settings({"PSA_ERP_HOME": str(tmp_path), "PSA_ERP_CONFIG": str(tmp_path / "config")})


def test_the_delivered_file_says_what_holds_without_one(tmp_path: Path) -> None:
    """Deleting the file would change what is billed."""
    delivered = Scope.of(load_settings({"PSA_ERP_HOME": str(tmp_path)}))
    without = Scope.of(settings_with(tmp_path, ""))
    assert (delivered.governance, delivered.approval_states) == (without.governance, without.approval_states)
    assert {(o.entity, o.field) for o in delivered.governance.owners} == {
        (entity, name) for entity, fields in FIELDS.items() for name in fields
    }


def test_states_and_triggers_are_what_the_settings_say(tmp_path: Path) -> None:
    """A PSA with another word for approved would bill nothing."""
    text = "approval_states:\n  clockify: {PENDING: submitted, APPROVED: approved}\n"
    text += "billing_triggers: {expense: submitted}\n"
    states = Scope.of(settings_with(tmp_path, text)).approval_states
    assert states["time_entry"] == {"PENDING": ApprovalState.SUBMITTED, "APPROVED": ApprovalState.APPROVED}
    assert states["expense"] == {"PENDING": ApprovalState.APPROVED, "APPROVED": ApprovalState.APPROVED}


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("fields:\n  customer:\n    name: {owner: psa, on_change: ignore}\n", 3, "'crm' or 'erp'"),
        ("fields:\n  customer:\n    phone: {owner: crm, on_change: ignore}\n", 3, "take it out"),
        ("fields:\n  employee:\n    email: {owner: hr}\n", 3, "add it"),
        ("stewards:\n  invoice: [sam]\n", 2, "'employee'"),
        ("billing_triggers:\n  time_entry: drafted\n", 2, "'approved' or 'submitted'"),
        ("approval_states:\n  clockify:\n    DONE: finished\n", 3, "'approved'"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_to_write(tmp_path: Path, text: str, line: int, hint: str) -> None:
    """Somebody would search eight files for it."""
    with pytest.raises(ConfigError) as caught:
        settings_with(tmp_path, text)
    [problem] = caught.value.problems
    assert f"ownership.yaml:{line}: " in problem
    assert hint in problem
