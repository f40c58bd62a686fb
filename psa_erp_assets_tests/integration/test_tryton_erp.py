"""The posting port against a real Tryton, as it comes and with the companion module."""

import concurrent.futures
import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal

import psycopg
import pytest

from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonError
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import (
    BilledTo,
    BillingLine,
    CostKind,
    CostTransaction,
    Effect,
    EffectType,
    IntercompanyCharge,
    RevenueEntry,
    RevenueKind,
    reversal_of,
)
from psa_erp_assets.domain.erp import Accepted, Answer, Create, ErpClass, ErpDocument, Rejected, Throttled, Withdraw
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.values import replace
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets_tests.support.tryton import MakeTryton, RunningTryton, key_of

pytestmark = pytest.mark.tryton

DAY = dt.date(2026, 9, 14)
BILLING, COST = EffectType.BILLING_LINE, EffectType.COST_TRANSACTION


@pytest.fixture(scope="module", params=list(Kind))
def tryton(request: pytest.FixtureRequest, make_tryton: MakeTryton) -> RunningTryton:
    """One server of each kind for the whole module; every test uses keys of its own."""
    return make_tryton(request.param)


def billing(tryton: RunningTryton, entity: str = "US", **changes: object) -> BillingLine:
    """50 minutes at 100.00 an hour, untaxed, unless changed."""
    line = BillingLine(
        erp_company=tryton.companies[entity],
        party=tryton.parties["CUS-0001"],
        analytic=tryton.project(entity),
        employee_name="Ada Jones",
        service_date=DAY,
        minutes=50,
        per_hour=Money(Decimal(100), "USD"),
        amount=Money(Decimal("83.33"), "USD"),
        tax=None,
        description="2026-09-14 Ada Jones: workshop",
    )
    return replace(line, **changes)


def cost(tryton: RunningTryton, **changes: object) -> CostTransaction:
    """50 minutes at 60.00 an hour in the US company, unless changed."""
    transaction = CostTransaction(
        erp_company=tryton.companies["US"],
        analytic=tryton.project("US"),
        employee_name="Ada Jones",
        service_date=DAY,
        minutes=50,
        per_hour=Money(Decimal(60), "USD"),
        amount=Money(Decimal(50), "USD"),
        description="2026-09-14 Ada Jones: workshop",
    )
    return replace(transaction, **changes)


def fee(tryton: RunningTryton, **changes: object) -> BillingLine:
    """1,234.56 that are not billed by the hour."""
    price = Money(Decimal("1234.56"), "USD")
    return replace(billing(tryton, minutes=0, per_hour=None, amount=price, employee_name=""), **changes)


def instalment(tryton: RunningTryton, **changes: object) -> BillingLine:
    """The same, billed before it is earned."""
    return fee(tryton, account=BilledTo.CONTRACT_BALANCE, **changes)


def borrowed(tryton: RunningTryton, **changes: object) -> CostTransaction:
    """The cost of somebody whom another entity employs."""
    return cost(tryton, kind=CostKind.INTERCOMPANY, **changes)


def expense(tryton: RunningTryton, **changes: object) -> CostTransaction:
    """A receipt of 50.00."""
    return cost(tryton, kind=CostKind.EXPENSE, minutes=0, per_hour=None, **changes)


def charge(tryton: RunningTryton, **changes: object) -> IntercompanyCharge:
    """50 minutes at 90.00 an hour that the US company's person worked for the UK company."""
    effect = IntercompanyCharge(
        erp_company=tryton.companies["US"],
        partner_company=tryton.companies["UK"],
        employee_name="Ada Jones",
        service_date=DAY,
        minutes=50,
        per_hour=Money(Decimal(90), "USD"),
        amount=Money(Decimal(75), "USD"),
        description="2026-09-14 Ada Jones: workshop",
    )
    return replace(effect, **changes)


def recognition(tryton: RunningTryton, **changes: object) -> RevenueEntry:
    """1,000.01 earned in September."""
    entry = RevenueEntry(
        erp_company=tryton.companies["US"],
        analytic=tryton.project("US"),
        service_date=dt.date(2026, 9, 30),
        amount=Money(Decimal("1000.01"), "USD"),
        description="CON-001 main: earned in 2026-09",
        kind=RevenueKind.RECOGNITION,
    )
    return replace(entry, **changes)


def loss(tryton: RunningTryton, **changes: object) -> RevenueEntry:
    """The same amount as an expected loss."""
    return recognition(tryton, kind=RevenueKind.LOSS_PROVISION, **changes)


ENTRIES = [cost, borrowed, expense, charge, recognition, loss]
EVERY_KIND = [billing, fee, instalment, *ENTRIES]
EACH_TYPE = [billing, cost, charge, recognition]
MakeEffect = Callable[[RunningTryton], Effect]


def made(tryton: RunningTryton, *effects: Effect, of: str) -> tuple[list[str], list[str]]:
    """Create the effects in one request; their keys and ids."""
    commands = [Create(key=key_of(of, i), effect=effect) for i, effect in enumerate(effects)]
    answer = tryton.erp.submit(commands)
    assert isinstance(answer, Accepted), answer
    return [c.key for c in commands], [answer.erp_ids[c.key] for c in commands]


def found(tryton: RunningTryton, effect: Effect, key: str) -> list[ErpDocument]:
    """What a look-up has for one key."""
    return list(tryton.erp.look_up(effect.erp_company, effect.effect_type, [key])[key])


def withdrawal(effect: Effect, key: str, erp_id: str) -> Withdraw:
    """The command that takes a document back."""
    return Withdraw(
        key=key_of("withdraw", key),
        target_key=key,
        erp_id=erp_id,
        erp_company=effect.erp_company,
        effect_type=effect.effect_type,
    )


def test_the_class_is_found_out_from_the_server(make_tryton: MakeTryton, tryton: RunningTryton):
    """A wrong class would leave duplicates unlooked-for, or look for them where there can be none."""
    has_field = "external_ref" in tryton.rpc.call("model.account.move.fields_get", None)
    assert tryton.erp.erp_class is (ErpClass.EXTERNAL_ID if has_field else ErpClass.SEARCHABLE_FIELD)


@pytest.mark.parametrize("make_effect", EVERY_KIND)
def test_a_document_is_created_found_and_withdrawn(tryton: RunningTryton, make_effect: MakeEffect):
    """The whole life of a draft: anything that changes on the way is drift or a duplicate later."""
    effect = make_effect(tryton)
    [key], [erp_id] = made(tryton, effect, of=f"life of {make_effect.__name__}")

    [document] = found(tryton, effect, key)
    assert document == ErpDocument(
        key=key,
        erp_id=erp_id,
        erp_company=effect.erp_company,
        effect_type=effect.effect_type,
        amount=effect.amount,
        minutes=effect.minutes,
        date=effect.service_date,
        document=None,
        document_state=None,
        posted=False,
        tax_amount=Decimal("0.00") if isinstance(effect, BillingLine) else None,
    )

    command = withdrawal(effect, key, erp_id)
    assert tryton.erp.submit([command]) == Accepted(erp_ids={command.key: erp_id})
    assert found(tryton, effect, key) == []
    assert tryton.erp.submit([command]) == Accepted(erp_ids={command.key: erp_id}), "already gone is withdrawn"


@pytest.mark.parametrize("make_effect", EVERY_KIND)
def test_credits_and_reversals_are_read_back_with_their_sign(tryton: RunningTryton, make_effect: MakeEffect):
    """A credit that reads as a charge would double what it should cancel."""
    effect = reversal_of(make_effect(tryton))
    [key], _ = made(tryton, effect, of=f"sign of {make_effect.__name__}")
    [document] = found(tryton, effect, key)
    assert (document.amount, document.minutes) == (effect.amount, effect.minutes)
    assert document.amount.amount < 0


@pytest.mark.parametrize(
    ("make_effect", "debited", "credited", "on_project"),
    [
        (cost, "5000", "5900", {"5000"}),
        (borrowed, "5000", "2150", {"5000"}),
        (expense, "5000", "2160", {"5000"}),
        (charge, "1260", "5910", set()),
        (recognition, "1250", "4000", {"1250", "4000"}),
        (loss, "5100", "2300", {"5100"}),
    ],
)
@pytest.mark.parametrize("reversed_", [False, True])
def test_each_entry_is_balanced_and_on_its_two_accounts(
    tryton: RunningTryton,
    make_effect: MakeEffect,
    debited: str,
    credited: str,
    on_project: set[str],
    *,
    reversed_: bool,
):
    """On another account the amount would be right and the books wrong; without its project no margin sees it."""
    effect = make_effect(tryton)
    amount = effect.amount.amount
    if reversed_:
        effect, debited, credited = reversal_of(effect), credited, debited
    _, [erp_id] = made(tryton, effect, of=f"accounts of {make_effect.__name__} {reversed_}")
    lines = tryton.rpc.search(
        "account.move.line",
        [["move", "=", int(erp_id)]],
        ["account.code", "debit", "credit", "party", "analytic_lines.account", "analytic_lines.debit"],
    )
    assert {line["account."]["code"]: (line["debit"], line["credit"]) for line in lines} == {
        debited: (amount, 0),
        credited: (0, amount),
    }
    projects = {line["account."]["code"]: [a["account"] for a in line["analytic_lines."]] for line in lines}
    assert {code for code, accounts in projects.items() if accounts} == on_project
    assert all(accounts in ([], [int(tryton.project("US"))]) for accounts in projects.values())
    assert all(a["debit"] == line["debit"] for line in lines for a in line["analytic_lines."])
    tryton.finance.post_moves(effect.erp_company, [erp_id])


@pytest.mark.parametrize(
    ("make_effect", "code", "quantity", "price"),
    [(fee, "4000", "1", "1234.56"), (instalment, "1250", "1", "1234.56"), (billing, "4000", "0.8333333333", "100")],
)
def test_a_line_is_billed_by_its_unit_on_its_account(
    tryton: RunningTryton, make_effect: MakeEffect, code: str, quantity: str, price: str
):
    """A fee shown as hours is nonsense on an invoice; on the revenue account it would be earned twice."""
    effect = make_effect(tryton)
    for sign, each in ((1, effect), (-1, reversal_of(effect))):
        _, [erp_id] = made(tryton, each, of=f"unit of {make_effect.__name__} {sign}")
        [line] = tryton.rpc.search(
            "account.invoice.line",
            [["id", "=", int(erp_id)]],
            ["account.code", "quantity", "unit_price", "product.code", "unit.symbol"],
        )
        assert (line["account."]["code"], line["quantity"], line["unit_price"]) == (
            code,
            Decimal(quantity) * sign,
            Decimal(price),
        )
        expected = ("CONSULTING", "h") if make_effect is billing else ("FEE", "u")
        assert (line["product."]["code"], line["unit."]["symbol"]) == expected


@pytest.mark.parametrize("make_effect", EACH_TYPE)
def test_a_document_is_found_as_its_own_type_only(tryton: RunningTryton, make_effect: MakeEffect):
    """Three types are journal entries: one taken for another would confirm what was never made."""
    effect = make_effect(tryton)
    [key], _ = made(tryton, effect, of=f"type of {make_effect.__name__}")
    there = {t: tryton.erp.look_up(effect.erp_company, t, [key])[key] for t in EffectType}
    assert [t for t, documents in there.items() if documents] == [effect.effect_type]


def test_an_entry_that_finance_moved_to_another_journal_is_still_found(tryton: RunningTryton):
    """What a look-up misses is sent again: the books would have it twice."""
    effect = recognition(tryton)
    [key], [erp_id] = made(tryton, effect, of="another journal")
    [journal] = tryton.rpc.search("account.journal", [["code", "=", "PROJ"]], ["id"])
    tryton.rpc.call("model.account.move.write", [int(erp_id)], {"journal": journal["id"]})
    assert [d.amount for d in found(tryton, effect, key)] == [effect.amount]
    assert list(tryton.erp.look_up(effect.erp_company, COST, [key])[key]) == []


@pytest.mark.parametrize(
    ("minutes", "rate", "amount"),
    [(50, "100", "83.33"), (7, "133.50", "15.57"), (7, "133.50", "15.58"), (1, "0.60", "0.01"), (0, "100", "0.00")],
)
def test_tryton_shows_the_amount_that_was_decided(tryton: RunningTryton, minutes: int, rate: str, amount: str):
    """50 minutes at 100 an hour are 83.33 (kimai#3282); half a cent goes the way that was decided."""
    effect = billing(
        tryton, minutes=minutes, per_hour=Money(Decimal(rate), "USD"), amount=Money(Decimal(amount), "USD")
    )
    [key], _ = made(tryton, effect, of=f"amount {minutes} {rate} {amount}")
    [document] = found(tryton, effect, key)
    assert (document.amount.amount, document.minutes) == (Decimal(amount), minutes)


def test_one_bad_row_rolls_back_the_whole_call(tryton: RunningTryton):
    """A half-done batch reported as rejected would be sent again in part, twice."""
    good = billing(tryton)
    bad = billing(tryton, party="999999")
    commands = [Create(key=key_of("rollback", i), effect=e) for i, e in enumerate((good, bad, good))]
    answer = tryton.erp.submit(commands)
    assert isinstance(answer, Rejected)
    assert answer.code == "posting_rejected"
    looked_up = tryton.erp.look_up(good.erp_company, BILLING, [c.key for c in commands])
    assert all(documents == [] for documents in looked_up.values())


def test_what_is_taken_up_is_not_withdrawn(tryton: RunningTryton):
    """Removing a line from under finance's invoice would change what a customer is sent."""
    line, move = billing(tryton), cost(tryton)
    [line_key], [line_id] = made(tryton, line, of="taken up")
    [move_key], [move_id] = made(tryton, move, of="posted")
    [invoice] = tryton.finance.invoice_lines(line.erp_company, on=dt.date(2026, 9, 30), line_ids=[line_id])
    tryton.finance.post_moves(move.erp_company, [move_id])

    for effect, key, erp_id in ((line, line_key, line_id), (move, move_key, move_id)):
        answer = tryton.erp.submit([withdrawal(effect, key, erp_id)])
        assert isinstance(answer, Rejected)
        assert answer.code == "on_document"
    [on_invoice] = found(tryton, line, line_key)
    assert (on_invoice.document, on_invoice.document_state, on_invoice.posted) == (
        f"draft invoice {invoice}",
        "draft",
        False,
    )
    [posted] = found(tryton, move, move_key)
    assert posted.posted
    assert posted.document is not None


def test_a_document_under_another_key_is_not_withdrawn(tryton: RunningTryton):
    """An id that was mixed up must not cost somebody else's line."""
    effect = billing(tryton)
    [key], [erp_id] = made(tryton, effect, of="mixed up")
    answer = tryton.erp.submit([withdrawal(effect, key_of("another"), erp_id)])
    assert isinstance(answer, Rejected)
    assert answer.code == "posting_conflict"
    assert len(found(tryton, effect, key)) == 1


def test_a_stale_time_stamp_stops_the_delete(tryton: RunningTryton):
    """This refusal of Tryton's is what makes a withdrawal safe: if it went, lines would vanish from invoices."""
    effect = billing(tryton)
    [key], [erp_id] = made(tryton, effect, of="stale")
    model = "account.invoice.line"
    [row] = tryton.rpc.search(model, [["id", "=", int(erp_id)]], ["_timestamp"])
    tryton.finance.invoice_lines(effect.erp_company, on=dt.date(2026, 9, 30), line_ids=[erp_id])
    context = {"company": int(effect.erp_company), "_timestamp": {f"{model},{erp_id}": row["_timestamp"]}}
    with pytest.raises(TrytonError, match="modified in the meanwhile"):
        tryton.rpc.call(f"model.{model}.delete", [int(erp_id)], context=context)
    assert len(found(tryton, effect, key)) == 1


def test_finance_takes_a_line_up_while_its_withdrawal_is_under_way(tryton: RunningTryton, postgres_server: ServerInfo):
    """The tightest race: the withdrawal has read the line as free and waits for finance's uncommitted change.

    Were the refusal not certain here, a line would now and then vanish from an invoice.
    """
    line = billing(tryton)
    [key, _], [erp_id, other_id] = made(tryton, line, line, of="under way")
    [invoice] = tryton.finance.invoice_lines(line.erp_company, on=dt.date(2026, 9, 30), line_ids=[other_id])
    take_up = (
        "UPDATE account_invoice_line SET invoice = %s, write_date = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = %s"
    )
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    database = tryton.server.database
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        psycopg.connect(postgres_server.url(database)) as finance,
        psycopg.connect(postgres_server.url(database), autocommit=True) as watcher,
    ):
        finance.execute(take_up, (int(invoice), int(erp_id)))
        answer = pool.submit(tryton.erp.submit, [withdrawal(line, key, erp_id)])
        deadline = time.monotonic() + 30
        while watcher.execute(waiting, (database,)).fetchone() == (0,):
            assert time.monotonic() < deadline, "the withdrawal never came to wait for the line"
            time.sleep(0.02)
        finance.commit()
        refusal = answer.result(timeout=30)
    assert isinstance(refusal, Rejected)
    assert refusal.code == "on_document"
    assert [d.document for d in found(tryton, line, key)] == [f"draft invoice {invoice}"]


def test_withdrawals_race_with_invoicing_and_exactly_one_wins(tryton: RunningTryton):
    """Either the line is gone and on no invoice, or it is on the invoice and the withdrawal was refused."""
    line = billing(tryton)
    keys, ids = made(tryton, *[line] * 16, of="race")
    erp = tryton.erp

    def invoice(erp_id: str) -> list[str]:
        try:
            return tryton.finance.invoice_lines(line.erp_company, on=dt.date(2026, 9, 30), line_ids=[erp_id])
        except TrytonError:
            return []

    def withdraw(key: str, erp_id: str) -> Answer:
        return erp.submit([withdrawal(line, key, erp_id)])

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for number, (key, erp_id) in enumerate(zip(keys, ids, strict=True)):
            if number % 2:
                answer, invoices = pool.submit(withdraw, key, erp_id), pool.submit(invoice, erp_id)
            else:
                invoices, answer = pool.submit(invoice, erp_id), pool.submit(withdraw, key, erp_id)
            taken_by = [f"draft invoice {i}" for i in invoices.result()]
            assert isinstance(answer.result(), Accepted) is not bool(taken_by)
            assert [d.document for d in found(tryton, line, key)] == taken_by


@pytest.mark.parametrize("make_effect", ENTRIES)
def test_a_closed_period_is_named_as_such_and_reopened_takes_the_entry(tryton: RunningTryton, make_effect: MakeEffect):
    """Never re-dated: the item waits for finance with the right reason, and goes through once the period is open."""
    july, effect = ServiceMonth(2026, 7), replace(make_effect(tryton), service_date=dt.date(2026, 7, 1))
    tryton.finance.post_moves(effect.erp_company, tryton.finance.draft_moves(effect.erp_company, july))
    tryton.finance.close_period(effect.erp_company, july)
    command = Create(key=key_of("closed", make_effect.__name__), effect=effect)
    answer = tryton.erp.submit([command])
    assert isinstance(answer, Rejected)
    assert answer.code == "period_closed"
    tryton.finance.reopen_period(effect.erp_company, july)
    assert isinstance(tryton.erp.submit([command]), Accepted)
    [document] = found(tryton, effect, command.key)
    assert document.date == dt.date(2026, 7, 1)


@pytest.mark.parametrize("make_effect", ENTRIES)
def test_an_entry_that_somebody_chose_another_date_for_says_what_it_is_for(
    tryton: RunningTryton, make_effect: MakeEffect
):
    """In the open period by choice; without the date in its text nobody could tell which month it belongs to."""
    chosen = dt.date(2026, 10, 1)
    effect = replace(make_effect(tryton), service_date=dt.date(2026, 8, 31), posting_date=chosen)
    [key], [erp_id] = made(tryton, effect, of=f"chosen {make_effect.__name__}")
    [document] = found(tryton, effect, key)
    assert document.date == chosen
    fields = ["date", "period.start_date", "description", "lines.description", "lines.analytic_lines.date"]
    [move] = tryton.rpc.search("account.move", [["id", "=", int(erp_id)]], fields)
    assert (move["date"], move["period."]["start_date"]) == (chosen, chosen)
    assert {a["date"] for line in move["lines."] for a in line["analytic_lines."]} <= {chosen}
    for text in (move["description"], *(line["description"] for line in move["lines."])):
        assert "(for 2026-08-31, booked in another period by choice)" in text
    assert document.minutes == effect.minutes


def test_a_charge_says_who_owes_it(tryton: RunningTryton):
    """Its account has no party, so that only the text tells finance which company to settle with."""
    effect = charge(tryton)
    _, [erp_id] = made(tryton, effect, of="owed")
    [move] = tryton.rpc.search("account.move", [["id", "=", int(erp_id)]], ["description"])
    [partner] = [c.name for c in tryton.master.companies() if c.id == effect.partner_company]
    assert move["description"].endswith(f"(owed by {partner})")


@pytest.mark.parametrize("partner", ["999999", "nobody"])
def test_a_charge_to_a_company_that_is_not_there_is_rejected(tryton: RunningTryton, partner: str):
    """Booked anyway, nobody would ever owe it."""
    answer = tryton.erp.submit([Create(key=key_of("owed", partner), effect=charge(tryton, partner_company=partner))])
    assert isinstance(answer, Rejected)
    assert answer.code == "posting_rejected"


def test_a_date_without_a_period_is_rejected(tryton: RunningTryton):
    """A fiscal year that nobody opened must not end the run."""
    answer = tryton.erp.submit([Create(key=key_of("2031"), effect=cost(tryton, service_date=dt.date(2031, 1, 1)))])
    assert isinstance(answer, Rejected)
    assert "no accounting period" in answer.message


def test_an_inactive_tax_is_refused_by_the_sync_itself(tryton: RunningTryton):
    """Tryton only warns, and then posts at the old rate."""
    effect = billing(tryton, "DE", tax=tryton.tax("DE USt 16% (expired)"))
    answer = tryton.erp.submit([Create(key=key_of("16 %"), effect=effect)])
    assert isinstance(answer, Rejected)
    assert answer.code == "tax_inactive"


@pytest.mark.parametrize(
    "wrong",
    [
        {"tax": "UK VAT 20%"},
        {"tax": "999999"},
        {"party": "nobody"},
        {"analytic": "999999"},
        {"per_hour": Money(Decimal("100.00005"), "USD")},
        {"amount": Money(Decimal("90.00"), "USD")},
        {"per_hour": Money(Decimal(100), "XXX"), "amount": Money(Decimal("83.33"), "XXX")},
        {"per_hour": None},
        {"per_hour": None, "minutes": 0, "amount": Money(Decimal("83.33333"), "USD")},
    ],
    ids=",".join,
)
def test_what_tryton_cannot_take_is_rejected_and_leaves_nothing(tryton: RunningTryton, wrong: dict[str, object]):
    """Another company's tax, an unknown record or an amount that cannot be shown: an item's trouble, not the run's."""
    if wrong.get("tax") == "UK VAT 20%":
        wrong = {"tax": tryton.tax("UK VAT 20%")}
    effect, key = billing(tryton, "DE", **wrong), key_of("wrong", sorted(wrong), str(wrong))
    answer = tryton.erp.submit([Create(key=key, effect=effect)])
    assert isinstance(answer, Rejected)
    assert answer.code == "posting_rejected"
    assert found(tryton, effect, key) == []


@pytest.mark.parametrize("make_effect", EACH_TYPE)
def test_the_same_key_twice(tryton: RunningTryton, make_effect: MakeEffect):
    """With the companion the second is refused and told apart; stock Tryton takes it, and the look-up shows both."""
    effect = make_effect(tryton)
    [key], _ = made(tryton, effect, of=f"twice {make_effect.__name__}")
    fresh = Create(key=key_of("fresh", make_effect.__name__), effect=effect)
    answer = tryton.erp.submit([fresh, Create(key=key, effect=effect)])
    if tryton.erp.erp_class is ErpClass.EXTERNAL_ID:
        assert isinstance(answer, Rejected)
        assert answer.code == "posting_duplicate"
        assert len(found(tryton, effect, key)) == 1
        assert found(tryton, effect, fresh.key) == []
    else:
        assert isinstance(answer, Accepted)
        assert len(found(tryton, effect, key)) == 2


def test_of_four_clients_racing_with_one_key_one_wins_where_the_companion_is(tryton: RunningTryton):
    """The uniqueness must hold between transactions that run at once, or a zombie worker could bill twice.

    Stock Tryton takes all four, which is why the engine serializes and looks up there.
    """
    effect, key = billing(tryton), key_of("four clients")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: tryton.erp.submit([Create(key=key, effect=effect)]), range(4)))
    winners = 1 if tryton.erp.erp_class is ErpClass.EXTERNAL_ID else 4
    assert sum(isinstance(a, Accepted) for a in answers) == winners
    assert len(found(tryton, effect, key)) == winners


def test_two_clients_that_are_the_first_in_a_period_both_get_a_clear_answer(tryton: RunningTryton):
    """Tryton refuses one of two entries that open a period at once with a 503, which could mean anything.

    Each such answer would be waited for and looked up before anything is sent again: minutes instead of none.
    """
    for day in (dt.date(2026, 2, 2), dt.date(2026, 3, 2), dt.date(2026, 4, 1)):
        effect = cost(tryton, service_date=day)
        batches = [[Create(key=key_of("first", day, c, i), effect=effect) for i in range(25)] for c in range(2)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(tryton.erp.submit, batches))
        assert all(isinstance(answer, Accepted | Throttled) for answer in answers), answers
        late = [batch for batch, answer in zip(batches, answers, strict=True) if isinstance(answer, Throttled)]
        assert all(isinstance(tryton.erp.submit(batch), Accepted) for batch in late)
        for batch in batches:
            documents = tryton.erp.look_up(effect.erp_company, COST, [c.key for c in batch])
            assert [len(documents[c.key]) for c in batch] == [1] * 25


def test_one_key_in_two_companies_is_two_documents(tryton: RunningTryton):
    """Entities are isolated: a look-up in one must not adopt the other's document."""
    us, de = billing(tryton, "US"), billing(tryton, "DE")
    key = key_of("two companies")
    for effect in (us, de):
        assert isinstance(tryton.erp.submit([Create(key=key, effect=effect)]), Accepted)
    assert [len(found(tryton, e, key)) for e in (us, de)] == [1, 1]


def test_commands_that_belong_to_two_requests_are_a_programming_error(tryton: RunningTryton):
    """Sent as one they would post to the wrong company or document type."""
    with pytest.raises(ValueError, match="one company"):
        tryton.erp.submit(
            [Create(key=key_of("a"), effect=billing(tryton)), Create(key=key_of("b"), effect=cost(tryton))]
        )
    with pytest.raises(ValueError, match="one company"):
        tryton.erp.submit([])


def test_hundreds_of_documents_are_made_and_looked_up_in_few_calls(tryton: RunningTryton):
    """One call a line would take minutes for a month; a look-up that loses one would have it sent again."""
    for effect in (billing(tryton), cost(tryton), recognition(tryton)):
        keys, ids = made(tryton, *[effect] * 150, of=f"bulk {effect.effect_type}")
        looked_up = tryton.erp.look_up(effect.erp_company, effect.effect_type, [*keys, key_of("not there")])
        assert [[d.erp_id for d in looked_up[key]] for key in keys] == [[erp_id] for erp_id in ids]
        assert looked_up[key_of("not there")] == []


def test_an_expired_session_does_not_stop_posting(tryton: RunningTryton):
    """Sessions end in mid-batch; the connection goes on by itself and no attempt is lost."""
    with tryton.server.rpc() as rpc:
        rpc.call("model.party.party.search", [], 0, 1, None)
        rpc._session = "c3luYzoxOm5vLXRva2Vu"  # of a user and token that never were
        assert rpc.call("model.party.party.search", [], 0, 1, None)
