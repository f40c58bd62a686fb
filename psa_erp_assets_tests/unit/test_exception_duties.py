"""Exceptions: whose, how urgent, which have one cause; what a write-off makes of a decision; exports."""

import csv
import datetime as dt
import io
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Decision, Hold, Outcome, Part, Route
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.exception_duties import GROUP_LENGTH, Duties, Duty, Priority, cause_of
from psa_erp_assets.domain.faults import FAULTS, FaultClass, Owner
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.values import replace
from psa_erp_assets.domain.write_offs import WriteOff, written_off
from psa_erp_assets.services.exception_cases import Case
from psa_erp_assets.services.exception_export import to_csv
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.settings import REPOSITORY, ConfigError, load_settings
from psa_erp_assets_tests.support.facts import money

E1 = "time_entry:clockify:e1"
NOW = dt.datetime(2026, 10, 5, 9, tzinfo=dt.UTC)


def cause(code: str, detail: str, *, contract_id: str | None = None, place: str | None = None) -> str:
    return cause_of(code, detail, object_id=E1, place=place, contract_id=contract_id)


@pytest.mark.parametrize(
    ("code", "one", "other"),
    [
        ("no_cost_rate", "no cost rate for EMP-0001 on 2026-09-14", "no cost rate for EMP-0001 on 2026-09-30"),
        ("no_fx_rate", "no USD/GBP rate on or before 2026-09-14", "no USD/GBP rate on or before 2026-09-15"),
        ("posting_rejected", "line 12 of 40: account 4711 is closed", "line 3 of 9: account 4711 is closed"),
        ("posting_ambiguous", f"key {'0a' * 16} timed out", f"key {'0b' * 16} timed out"),
    ],
)
def test_what_tells_two_items_of_one_cause_apart_is_left_out(code: str, one: str, other: str) -> None:
    """Each day would be a group of its own, and somebody would clear thirty instead of one."""
    assert cause(code, one) == cause(code, other)


@pytest.mark.parametrize(
    ("code", "one", "other"),
    [
        ("unknown_employee", "PSA user u1 is no employee that HR knows", "PSA user u2 is no employee that HR knows"),
        ("no_fx_rate", "no USD/GBP rate on or before 2026-09-14", "no EUR/GBP rate on or before 2026-09-14"),
        ("no_cost_rate", "no cost rate for EMP-0001 on 2026-09-14", "no cost rate for EMP-0002 on 2026-09-14"),
    ],
)
def test_two_causes_are_two_groups(code: str, one: str, other: str) -> None:
    """What is cleared for one person would be replayed for another."""
    assert cause(code, one) != cause(code, other)


def test_a_contracts_limit_is_the_contracts_cause() -> None:
    """The detail has the minutes beyond the cap, which differ with each entry."""
    assert cause("cap_reached", "beyond the cap of 100.00 GBP", contract_id="CTR-7") == "contract CTR-7"
    assert cause("posting_rejected", "closed", place="2") == "company 2: closed"
    assert cause_of("erp_auth", "wrong", object_id="erp_company:2", place=None, contract_id=None) == "erp_company:2"


@given(st.sampled_from(sorted(FAULTS)), st.text())
def test_a_cause_is_short_and_stays_one(code: str, detail: str) -> None:
    """A message of the ERP may be a page long, and an index takes only so much."""
    found = cause(code, detail)
    assert len(found) <= GROUP_LENGTH
    assert found == cause(code, detail)


def test_every_code_has_a_duty_and_the_shipped_file_says_the_same() -> None:
    """The pages would show another owner than the runbook does."""
    shipped = Scope.of(load_settings({})).duties
    for code, fault in FAULTS.items():
        assert shipped.of(code) == Duties().of(code)
        assert shipped.of(code).owner is fault.owner
    assert sorted(c for owner in Owner for c in shipped.codes_of(owner)) == sorted(FAULTS)
    assert shipped.of("a code of another version").owner is Owner.INTEGRATION_ENGINEERING


@pytest.mark.parametrize(
    ("fault_class", "minutes", "amount", "overdue", "expected"),
    [
        ("data", 60, None, False, Priority.NORMAL),
        ("data", 2_400, None, False, Priority.HIGH),
        ("data", None, money("10000.01"), False, Priority.HIGH),
        ("data", None, money("10000.01", "JPY"), False, Priority.NORMAL),
        ("data", 2_400, None, True, Priority.URGENT),
        ("conflict", 2_400, money("-20000"), True, Priority.URGENT),
        ("transient", 0, None, False, Priority.LOW),
        ("of another version", 0, None, False, Priority.HIGH),
    ],
)
def test_what_is_large_or_late_is_more_urgent(
    fault_class: str, minutes: int | None, amount: Money | None, overdue: bool, expected: Priority
) -> None:
    """A hundred thousand would wait behind ten minutes."""
    duties = Duties(large_amounts=(money("10000.00"),))
    assert duties.priority(fault_class, minutes=minutes, amount=amount, overdue=overdue) is expected


def test_a_codes_own_duty_goes_before_that_of_its_class() -> None:
    """The company has said otherwise for it."""
    own = Duty(owner=Owner.FINANCE_OPERATIONS, within=dt.timedelta(hours=2), runbook="wiki")
    duties = Duties(codes={"no_cost_rate": own})
    assert duties.of("no_cost_rate") is own
    assert "no_cost_rate" in duties.codes_of(Owner.FINANCE_OPERATIONS)
    assert duties.of("no_bill_rate").within == duties.classes[FaultClass.DATA].within


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("  data:", "  datum:", "classes.datum"),
        ("within_hours: 48", "within_hours: 0", "greater than or equal to 1"),
        ("codes: {}", "codes: {no_such: {within_hours: 1, runbook: x}}", "no exception has this code"),
        ("runbook: docs/operations.md#data", "runbook: ' '", "runbook"),
    ],
)
def test_a_mistake_in_the_duties_is_named(tmp_path: Path, old: str, new: str, hint: str) -> None:
    """Exceptions would be nobody's, and nobody would know."""
    config = Path(shutil.copytree(REPOSITORY / "data" / "config", tmp_path / "config"))
    path = config / "exceptions.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings({"PSA_ERP_CONFIG": str(config), "PSA_ERP_HOME": str(tmp_path)})
    (problem,) = caught.value.problems
    assert "exceptions.yaml:" in problem
    assert hint in problem


def test_a_class_with_an_owner_has_it_for_all_of_its_codes(tmp_path: Path) -> None:
    """The team that the company named would never see its items."""
    config = Path(shutil.copytree(REPOSITORY / "data" / "config", tmp_path / "config"))
    duty = "{owner: integration_engineering, within_hours: 5, runbook: wiki}"
    (config / "exceptions.yaml").write_text(f"classes: {{data: {duty}}}\n", encoding="utf-8")
    duties = Scope.of(load_settings({"PSA_ERP_CONFIG": str(config), "PSA_ERP_HOME": str(tmp_path)})).duties
    data = [code for code, fault in FAULTS.items() if fault.fault_class is FaultClass.DATA]
    assert {duties.of(code) for code in data} == {
        Duty(owner=Owner.INTEGRATION_ENGINEERING, within=dt.timedelta(hours=5), runbook="wiki")
    }


HELD = Decision(
    object_id=E1,
    revision=2,
    route=Route("UK", ServiceMonth(2026, 9), "CTR-0001"),
    outcome=Outcome.HOLD,
    minutes=480,
    holds=(
        Hold("no_bill_rate", EffectType.BILLING_LINE, "no rate"),
        Hold("no_cost_rate", EffectType.COST_TRANSACTION, "no cost"),
    ),
)
OFF = {E1: WriteOff(object_id=E1, revision=2, reason="goodwill", approved_by="bob")}


def test_a_write_off_gives_up_the_billing_and_leaves_the_cost() -> None:
    """What people cost does not vanish because nobody pays for it."""
    decision = written_off(HELD, OFF)
    assert (decision.outcome, decision.minutes_of(Outcome.WRITTEN_OFF)) == (Outcome.WRITTEN_OFF, 480)
    assert decision.hold(EffectType.BILLING_LINE) is None
    assert decision.hold(EffectType.COST_TRANSACTION) is not None
    assert decision.reasons == ("written off by bob: goodwill",)
    assert written_off(decision, OFF) == decision


def test_only_the_held_part_of_split_work_is_written_off() -> None:
    """What is billed up to the cap would be given away too."""
    billed = Part(outcome=Outcome.POST, minutes=400, amount=money("100.00"), reason="up to the cap")
    rest = Part(outcome=Outcome.HOLD, minutes=80, amount=money("20.00"), reason="beyond the cap")
    split = replace(HELD, outcome=Outcome.POST, parts=(billed, rest))
    decision = written_off(split, OFF)
    assert decision.outcome is Outcome.POST
    assert (decision.minutes_of(Outcome.POST), decision.minutes_of(Outcome.WRITTEN_OFF)) == (400, 80)
    assert decision.minutes_of(Outcome.HOLD) == 0


@pytest.mark.parametrize(
    "decision",
    [replace(HELD, revision=3), replace(HELD, object_id="other"), replace(HELD, holds=(), outcome=Outcome.POST)],
)
def test_another_revision_and_what_can_be_billed_are_left_alone(decision: Decision) -> None:
    """Work that nobody agreed to give up would be."""
    assert written_off(decision, OFF) == decision


def case(detail: str) -> Case:
    return Case(
        id=1,
        code="no_bill_rate",
        fault_class="data",
        next_step="Set it.",
        object_id=detail,
        legal_entity="UK",
        service_month="2026-09",
        minutes=-30,
        detail=detail,
        evidence={},
        first_seen_at=NOW,
        last_seen_at=NOW,
        resolved_at=None,
        resolution=None,
        cause=detail,
        assignee=detail,
        group="no_bill_rate/x",
        owner=Owner.FINANCE_OPERATIONS,
        runbook="docs",
        priority=Priority.NORMAL,
        priority_by_rule=True,
        due_at=NOW,
        overdue=False,
        amount=Decimal("-12.50"),
        currency="GBP",
    )


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\x00")) | st.sampled_from(["=1+1", " =1", "\t=1", "＝1"])
)
def test_no_text_of_an_export_is_calculated(detail: str) -> None:
    """A spreadsheet would run what somebody wrote as the name of a project."""
    (_, row) = csv.reader(io.StringIO(to_csv([case(detail)]), newline=""))
    texts = [cell for number, cell in enumerate(row) if number not in (11, 12)]
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) for cell in texts)
    assert (row[11], row[12]) == ("-30", "-12.50")
    assert row[15].removeprefix("'") == detail or row[15] == detail
