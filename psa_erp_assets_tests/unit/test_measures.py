"""The measures of the marts: rows of lake tables in DuckDB → the models' own SQL → figures that are known otherwise."""

import datetime as dt
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from psa_erp_assets.adapters.duck_sql import FUNCTIONS, identifier
from psa_erp_assets.adapters.lake import column_types
from psa_erp_assets.adapters.sql_models import load_models
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES
from psa_erp_assets.domain.metrics import dso, dso_count_back
from psa_erp_assets.domain.money import Money

ROOT = Path(__file__).parents[2]
MODELS = load_models(ROOT / "dbt_like_sql", LAKE_TABLES.values())
DAY = dt.date(2026, 9, 15)
AT = dt.datetime(2026, 9, 16, tzinfo=dt.UTC)
QUESTIONS = re.findall(r"^## (\d+\. .+?)\n.*?```sql\n(.+?)```", (ROOT / "docs/analysts.md").read_text(), re.S | re.M)


class Books:
    """Lake tables in memory, with every model as a view over them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        connection.execute("SET TimeZone = 'UTC'")
        for statement in FUNCTIONS:
            connection.execute(statement)

    def make(self) -> None:
        """Make the lake's tables, empty, and the models."""
        connection = self.connection
        for name, table in LAKE_TABLES.items():
            columns = ", ".join(f"{identifier(c)} {kind}" for c, kind in column_types(connection, table).items())
            connection.execute(f"CREATE TABLE {identifier(name)} ({columns})")
        for model in MODELS:
            connection.execute(f"CREATE VIEW {identifier(model.name)} AS {model.sql}")

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        """Add rows; what a row leaves out is null."""
        for row in rows:
            names = ", ".join(map(identifier, row))
            marks = ", ".join("?" * len(row))
            self.connection.execute(f"INSERT INTO {identifier(table)} ({names}) VALUES ({marks})", list(row.values()))

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """What a SELECT gives."""
        cursor = self.connection.execute(statement)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def fails(self, test: str) -> bool:
        """Whether a test, named model.test, finds a row."""
        model, name = test.split(".")
        rule = next(t for m in MODELS if m.name == model for t in m.tests if t.name == name)
        return self.connection.execute(rule.sql).fetchone() is not None

    def failing(self) -> set[str]:
        """The tests of models that fail, as model.test."""
        return {
            f"{model.name}.{test.name}"
            for model in MODELS
            for test in model.tests
            if self.connection.execute(test.sql).fetchone() is not None
        }


def money(text: str) -> Decimal:
    return Decimal(text)


@pytest.fixture
def books(template: Path, tmp_path: Path) -> Iterator[Books]:
    """Sound books of one month, to be changed at will."""
    shutil.copy(template, tmp_path / "books.duckdb")
    with duckdb.connect(str(tmp_path / "books.duckdb")) as connection:
        yield Books(connection)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UK entity in GBP of a group in USD, two contracts (time in EUR, a fixed fee in GBP), one rate each way."""
    path = tmp_path_factory.mktemp("template") / "books.duckdb"
    with duckdb.connect(str(path)) as connection:
        found = Books(connection)
        found.make()
        found.put("company", {"group_currency": "USD"})
        found.put("legal_entities", {"code": "UK", "name": "Ltd.", "currency": "GBP", "country": "GB",
                                     "time_zone": "Europe/London", "erp_company": "2"})  # fmt: skip
        found.put("customers", *({"id": f"CUS-{n}", "name": f"Customer {n}", "country": "IE", "crm_id": str(n)}
                                 for n in (1, 2)))  # fmt: skip
        found.put("contracts", *(
            {"id": f"CTR-{n}", "name": f"Contract {n}", "customer_id": f"CUS-{n}", "legal_entity": "UK", "kind": kind,
             "currency": currency, "valid_from": dt.date(2026, 1, 1)}
            for n, kind, currency in ((1, "time_and_materials", "EUR"), (2, "fixed_fee", "GBP"))))  # fmt: skip
        found.put("projects", *({"id": f"PRJ-{n}", "code": f"P{n}", "name": f"Project {n}", "psa_id": str(n),
                                 "contract_id": f"CTR-{n}", "closed": False} for n in (1, 2)))  # fmt: skip
        found.put("employees", *(
            {"id": f"EMP-{n}", "name": f"Employee {n}", "legal_entity": "UK", "department": department,
             "time_zone": "Europe/London", "role": role}
            for n, department, role in ((1, "Audit", "Partner"), (2, "Advice", "Analyst"))))  # fmt: skip
        found.put("bill_rates", {"id": "BR-1", "project_id": "PRJ-1", "per_hour": money("100"), "currency": "EUR",
                                 "valid_from": dt.date(2026, 1, 1)})  # fmt: skip
        found.put("fx_rates", *(
            {"id": f"FX-{a}{b}", "from_currency": a, "to_currency": b, "date": dt.date(2026, 1, 1), "rate": money(rate)}
            for a, b, rate in (("EUR", "GBP", "0.8"), ("GBP", "USD", "1.25"))))  # fmt: skip
        _work(found)
    return path


def _work(books: Books) -> None:
    where = {"legal_entity": "UK", "service_month": "2026-09", "service_date": DAY}
    for entry, employee, n, minutes, outcome, bill in (
        ("e1", 1, 1, 540, "post", "900"), ("e1#C-1", 1, 1, 60, "written_off", None),
        ("e2", 2, 1, 120, "hold", None), ("e3", 2, 1, 60, "written_off", None),
        ("e4", 1, 2, 300, "covered", None), ("e5", 2, 2, 60, "non_billable", None),
    ):  # fmt: skip
        billable = outcome != "non_billable"
        books.put("decided_work", {
            **where, "object_id": entry, "part": 1, "kind": "time", "employee_id": f"EMP-{employee}",
            "project_id": f"PRJ-{n}", "contract_id": f"CTR-{n}", "component": "main", "outcome": outcome,
            "minutes": minutes, "recorded_as_billable": billable, "amount": bill and money(bill),
            "bill_amount": bill and money(bill), "currency": bill and "EUR"})  # fmt: skip
        books.put("approved_time", {
            **where, "tenant": "demo", "entry_id": entry, "revision": 1, "employee_id": f"EMP-{employee}",
            "project_id": f"PRJ-{n}", "contract_id": f"CTR-{n}", "customer_id": f"CUS-{n}", "minutes": minutes,
            "billable": billable, "outcome": outcome, "hold_codes": [], "recorded_at": AT})  # fmt: skip
    fee, earned = "contract:CTR-2:instalment:main:2026-09-01/1", "contract:CTR-2:revenue:main:2026-09"
    for object_id, kind in ((fee, "instalment"), (earned, "revenue")):
        books.put("decided_work", {
            **where, "object_id": object_id, "part": 1, "kind": kind, "contract_id": "CTR-2", "component": "main",
            "outcome": "post", "minutes": 0, "recorded_as_billable": True, "amount": money("1000"),
            "bill_amount": money("1000") if kind == "instalment" else None, "currency": "GBP"})  # fmt: skip
    for key, effect, object_id, booked_as, amount, currency in (
        ("k1", "billing_line", "e1", "revenue", "900", "EUR"),
        ("k2", "billing_line", fee, "contract_balance", "1000", "GBP"),
        ("k3", "revenue_entry", earned, "recognition", "400", "GBP"),
        ("k4", "cost_transaction", "e1", "labor", "300", "GBP"),
        ("k5", "cost_transaction", "e4", "labor", "150", "GBP"),
        ("k6", "revenue_entry", "contract:CTR-2:loss:main:2026-09", "loss_provision", "50", "GBP"),
    ):  # fmt: skip
        books.put("postings", {
            **where, "key": key, "effect_type": effect, "leg": "original", "operation": "create",
            "object_id": object_id, "revision": 1, "state": "verified", "amount": money(amount), "currency": currency,
            "minutes": 0, "created_at": AT, "booked_as": booked_as})  # fmt: skip
    books.put("erp_billing_lines",
        {**where, "key": "k1", "erp_id": "1", "party_code": "CUS-1", "project_code": "P1", "minutes": 600,
         "net_amount": money("900"), "currency": "EUR", "posted": False},
        {**where, "key": "k2", "erp_id": "2", "party_code": "CUS-2", "project_code": "P2", "minutes": 0,
         "net_amount": money("1000"), "currency": "GBP", "posted": True, "invoice_number": "7",
         "invoice_state": "posted", "invoice_date": dt.date(2026, 10, 2)})  # fmt: skip
    for table, key, erp_id, project, amount in (
        ("erp_revenue_entries", "k3", "3", "P2", "400"), ("erp_cost_entries", "k4", "4", "P1", "300"),
        ("erp_cost_entries", "k5", "5", "P2", "150"), ("erp_revenue_entries", "k6", "6", "P2", "50"),
    ):  # fmt: skip
        books.put(table, {**where, "key": key, "erp_id": erp_id, "project_code": project, "minutes": 0,
                          "amount": money(amount), "currency": "GBP", "posted": True})  # fmt: skip
    books.put("contract_balances", *(
        {"contract_id": "CTR-2", "component": "main", "service_month": month, "currency": "GBP", "minutes": 300,
         "billed": money("1000"), "earned": money(earned)} for month, earned in (("2026-09", "400"), ("2026-10", "900"))
    ))  # fmt: skip
    books.put("contract_backlog", {"contract_id": "CTR-2", "component": "main", "as_of_month": "2026-09",
                                   "month": "2026-10", "amount": money("600"), "currency": "GBP"})  # fmt: skip
    books.put("account_balances", *(
        {"legal_entity": "UK", "month": month, "account": account, "role": role, "posted": money(posted),
         "draft": money("0"), "currency": "GBP", "opening": month == "2026-08"}
        for month, account, role, posted in (
            ("2026-08", "1200", "receivable", "40"), ("2026-09", "1200", "receivable", "-40"),
            ("2026-10", "1200", "receivable", "250"), ("2026-09", "4000", "revenue", "-400"),
            ("2026-09", "1250", "contract_balance", "400"), ("2026-10", "1250", "contract_balance", "-1000"),
            ("2026-09", "2300", "loss_provision", "-50"), ("2026-09", "5100", "expected_loss", "50"),
            ("2026-09", "5000", "delivery_cost", "450"), ("2026-09", "5900", "labor_absorbed", "-450"))))  # fmt: skip
    books.put("credits", {"id": "C-1", "object_id": "e1", "minutes": 60, "rebill": False, "in_erp": False,
                          "reason": "goodwill", "requested_at": AT})  # fmt: skip
    books.put("erp_invoices", invoice("7", dt.date(2026, 10, 2), "1000", "250"))
    books.put("erp_payments", payment("31", "7", dt.date(2026, 11, 1), "500"))
    books.put("exceptions", {"id": 1, "code": "no_bill_rate", "fault_class": "data", "owner": "finance",
                             "next_step": "Add a rate.", "object_id": "e2", "legal_entity": "UK",
                             "service_month": "2026-09", "minutes": 120, "detail": "none", "first_seen_at": AT,
                             "last_seen_at": AT})  # fmt: skip


def invoice(number: str, on: dt.date, total: str, still_open: str) -> dict[str, Any]:
    return {
        "erp_id": number, "number": number, "legal_entity": "UK", "party_code": "CUS-2", "invoice_date": on,
        "currency": "GBP", "net_amount": money(total), "tax_amount": money("0"), "total_amount": money(total),
        "open_amount": money(still_open), "state": "posted",
    }  # fmt: skip


def payment(number: str, of: str, on: dt.date, amount: str) -> dict[str, Any]:
    return {
        "erp_id": number, "number": f"PAY-{number}", "invoice_id": of, "legal_entity": "UK", "paid_on": on,
        "amount": money(amount), "currency": "GBP",
    }  # fmt: skip


def test_every_test_of_every_model_holds_on_sound_books(books: Books) -> None:
    """A test that sound books break would be switched off, and with it the rule."""
    assert books.failing() == set()


def test_days_sales_outstanding_are_those_of_the_reference(books: Books) -> None:
    """AR 212,000 after sales of 70,000 / 80,000 / 100,000: 73.71 days counted back, 76.32 by the standard method."""
    books.connection.execute("DELETE FROM erp_invoices")
    for month, (total, still_open) in enumerate(
        (("70000", "32000"), ("80000", "80000"), ("100000", "100000")), start=7
    ):
        books.put("erp_invoices", invoice(str(month), dt.date(2026, month, 28), total, still_open))
    found = books.rows("SELECT * FROM mart_dso")[0]
    assert (found["dso_count_back"], found["dso_quarter"]) == (money("73.71"), money("76.32"))
    sales = [Money(money(amount), "GBP") for amount in ("70000", "80000", "100000")]
    receivables = Money(money("212000"), "GBP")
    for exact, shown in ((dso_count_back(receivables, sales), "dso_count_back"),
                         (dso(receivables, Money(money("250000"), "GBP"), 90), "dso_quarter")):  # fmt: skip
        assert exact is not None
        assert abs(exact - found[shown]) < money("0.01"), shown


def test_the_standard_method_over_a_year(books: Books) -> None:
    """AR 150,000 and sales of 1,800,000 a year are 30.4 days."""
    books.connection.execute("DELETE FROM erp_invoices")
    for month in range(1, 13):
        still_open = "150000" if month == 12 else "0"
        books.put("erp_invoices", invoice(str(month), dt.date(2026, month, 10), "150000", still_open))
    found = books.rows("SELECT dso_year, dso_count_back, sales_of_year FROM mart_dso")[0]
    assert found == {"dso_year": money("30.42"), "dso_count_back": money("30"), "sales_of_year": money("1800000")}


def test_count_back_says_nothing_where_too_few_months_are_known(books: Books) -> None:
    """Receivables that three years of sales do not use up would show a number of days that looks fine."""
    books.put("erp_invoices", invoice("old", dt.date(2020, 1, 1), "5000", "5000"))
    assert books.rows("SELECT dso_count_back FROM mart_dso")[0]["dso_count_back"] is None


def test_utilization_has_each_variant_under_its_own_name(books: Books) -> None:
    """One variant would be read as another: they differ in what is above the line or below it."""
    found = {r["employee_id"]: r for r in books.rows("SELECT * FROM mart_utilization_by_employee_month")}
    capacity = 22 * 480
    expected = {"billable_utilization": 180, "client_utilization": 240, "total_utilization": 240}
    assert found["EMP-2"]["capacity_minutes"] == capacity
    for name, minutes in expected.items():
        assert abs(found["EMP-2"][name] - Decimal(minutes) / capacity) <= money("0.0000005"), name
    assert found["EMP-1"]["billable_minutes"] == 900


def test_realization_in_hours_and_in_value_and_the_effective_rate(books: Books) -> None:
    """780 billable minutes at 100 EUR are worth 1,300 EUR; 600 minutes were billed at 900 EUR."""
    found = books.rows("SELECT * FROM mart_realization_by_contract_month WHERE contract_id = 'CTR-1'")[0]
    assert (found["billable_minutes"], found["billed_minutes"]) == (780, 600)
    assert (found["standard_amount"], found["billed_amount"]) == (money("1040"), money("720"))
    assert found["hours_realization"] == money("0.769231")
    assert found["value_realization"] == money("0.692308")
    assert found["effective_rate"] == money("55.3846"), "720 GBP for 13 hours"


def test_revenue_is_what_is_earned_and_not_what_is_billed(books: Books) -> None:
    """A fixed fee would count twice: once when it is billed and again as it is earned."""
    found = books.rows("SELECT contract_id, sum(entity_amount) AS gbp, sum(group_amount) AS usd FROM fct_revenue"
                       " GROUP BY contract_id ORDER BY contract_id")  # fmt: skip
    assert [(r["contract_id"], r["gbp"], r["usd"]) for r in found] == [
        ("CTR-1", money("720"), money("900")), ("CTR-2", money("400"), money("500")),
    ]  # fmt: skip


def test_margin_adds_up_to_the_same_total_by_any_dimension(books: Books) -> None:
    """Two reports of one month would show two margins of the company."""
    found = books.rows("SELECT dimension, sum(margin_amount) AS gbp, sum(group_margin_amount) AS usd"
                       " FROM mart_margin_by_dimension GROUP BY dimension")  # fmt: skip
    assert {r["dimension"] for r in found} == {"client", "project", "practice", "consultant", "grade"}
    # 720 + 400 earned; 300 + 150 labor and a loss of 50.
    assert {(r["gbp"], r["usd"]) for r in found} == {(money("620"), money("775"))}
    by_grade = books.rows("SELECT member, margin_amount FROM mart_margin_by_dimension WHERE dimension = 'grade'")
    assert {r["member"]: r["margin_amount"] for r in by_grade} == {
        "Partner": money("270"), "unassigned": money("350"),
    }  # fmt: skip


def test_work_in_progress_and_deferred_revenue_roll_forward(books: Books) -> None:
    """A month's opening balance would not be the closing balance of the month before it."""
    found = books.rows("SELECT * FROM mart_wip_by_contract_month ORDER BY contract_id, service_month")
    names = ("contract_id", "service_month", "opening_amount", "earned_amount", "billed_amount", "closing_amount")
    assert [tuple(r[name] for name in names) for r in found] == [
        ("CTR-1", "2026-09", 0, 720, 0, 720), ("CTR-1", "2026-10", 720, 0, 0, 720),
        ("CTR-2", "2026-09", 0, 400, 0, 400), ("CTR-2", "2026-10", 400, 0, 1000, -600),
    ]  # fmt: skip
    assert [(r["wip_amount"], r["deferred_amount"]) for r in found[2:]] == [(400, 0), (0, 600)]


def test_contract_asset_and_liability_in_the_contracts_currency(books: Books) -> None:
    """Billed before it is earned is a liability; it would be netted with another contract's asset."""
    found = books.rows("SELECT * FROM mart_contract_balance ORDER BY service_month")
    assert [(r["opening_amount"], r["earned_amount"], r["billed_amount"], r["contract_liability"]) for r in found] == [
        (0, 400, 1000, 600), (-600, 500, 0, 100),
    ]  # fmt: skip


def test_the_figures_tie_to_the_general_ledger(books: Books) -> None:
    """An entry that somebody made by hand on the account of contract balances would go unseen."""
    assert all(r["difference_amount"] == 0 for r in books.rows("SELECT * FROM mart_general_ledger_tie"))
    books.connection.execute("UPDATE account_balances SET posted = 401 WHERE month = '2026-09' AND account = '1250'")
    assert books.fails("mart_general_ledger_tie.it_ties")


@pytest.mark.parametrize(
    ("account", "role"),
    [("4000", "revenue"), ("5000", "delivery_cost"), ("5900", "labor_absorbed"), ("2200", "tax"),
     ("2150", "intercompany_payable"), ("2160", "expenses_to_reimburse"), ("1260", "intercompany_receivable")],
)  # fmt: skip
def test_an_entry_by_hand_on_any_account_is_named(books: Books, account: str, role: str) -> None:
    """The subledger and the general ledger would part, and nobody would know in which account and month."""
    books.put("account_balances", {"legal_entity": "UK", "month": "2026-10", "account": f"{account}.1", "role": role,
                                   "posted": money("12.34"), "draft": money("0"), "currency": "GBP"})  # fmt: skip
    [found] = books.rows("SELECT role, ledger_month, difference_amount, next_step FROM mart_general_ledger_tie"
                         " WHERE difference = 'manual_entry'")  # fmt: skip
    assert (found["role"], found["ledger_month"], found["difference_amount"]) == (role, "2026-10", money("-12.34"))
    assert found["next_step"].startswith("List the account's entries")
    assert books.fails("mart_general_ledger_tie.it_ties")


def test_what_a_rate_has_moved_between_work_and_invoice_is_no_difference(books: Books) -> None:
    """The books convert at the invoice's date: exchange differences would look like entries by hand."""
    books.put("fx_rates", {"id": "FX-2", "from_currency": "EUR", "to_currency": "GBP", "date": dt.date(2026, 10, 1),
                           "rate": money("0.85")})  # fmt: skip
    books.connection.execute("UPDATE erp_billing_lines SET posted = true, invoice_number = '8',"
                             " invoice_state = 'posted', invoice_date = DATE '2026-10-05'"
                             " WHERE erp_id = '1'")  # fmt: skip
    books.put("account_balances", {"legal_entity": "UK", "month": "2026-10", "account": "4000", "role": "revenue",
                                   "posted": money("-765.01"), "draft": money("0"), "currency": "GBP"})  # fmt: skip
    [found] = books.rows("SELECT * FROM mart_general_ledger_tie WHERE role = 'revenue' AND ledger_month = '2026-10'")
    assert (found["figure_amount"], found["fx_amount"]) == (money("-720"), money("-45"))
    assert (found["difference"], found["difference_amount"]) == ("rounding", money("0.01"))
    assert (found["opening_amount"], found["closing_amount"]) == (money("-400"), money("-1165.01"))
    assert not books.fails("mart_general_ledger_tie.it_ties")


def test_receivables_tie_to_their_control_account(books: Books) -> None:
    """A payment that was booked on no invoice would go unseen."""
    [found] = books.rows("SELECT * FROM mart_receivables_tie")
    assert (found["open_amount"], found["ledger_amount"], found["difference_amount"]) == (250, 250, 0)
    books.connection.execute("UPDATE account_balances SET posted = 249 WHERE month = '2026-10' AND account = '1200'")
    assert books.fails("mart_receivables_tie.it_ties")


def test_a_line_stays_with_the_contract_of_its_project(books: Books) -> None:
    """Work that moved to another contract would take along what the customer of the first one was invoiced."""
    books.connection.execute(
        "UPDATE decided_work SET project_id = 'PRJ-2', contract_id = 'CTR-2' WHERE object_id = 'e1'"
    )
    [line] = books.rows("SELECT contract_id, customer_id, kind, component FROM fct_billing WHERE billing_line_id = '1'")
    assert line == {"contract_id": "CTR-1", "customer_id": "CUS-1", "kind": "time", "component": None}
    [cost] = books.rows("SELECT contract_id FROM fct_cost WHERE source_id = '4'")
    assert cost["contract_id"] == "CTR-1"


def test_a_credit_note_of_the_erp_counts_as_what_it_credits(books: Books) -> None:
    """A fee that finance credits itself would take revenue back that billing it has never made."""
    on = dt.date(2026, 10, 9)
    books.put("erp_billing_lines", {"legal_entity": "UK", "service_month": "2026-10", "service_date": on, "key": None,
                                    "erp_id": "9", "party_code": "CUS-2", "project_code": "P2",
                                    "minutes": 0, "net_amount": money("-250"), "currency": "GBP", "posted": True,
                                    "invoice_number": "8", "invoice_state": "posted", "credits_key": "k2",
                                    "invoice_date": on})  # fmt: skip
    [line] = books.rows("SELECT kind, booked_as, contract_id FROM fct_billing WHERE billing_line_id = '9'")
    assert line == {"kind": "instalment", "booked_as": "contract_balance", "contract_id": "CTR-2"}
    assert not books.rows("SELECT * FROM fct_revenue WHERE source_id = '9'")


def test_the_group_earns_nothing_by_charging_itself(books: Books) -> None:
    """The mark-up of one entity on another would lower the group's margin, and no profit elsewhere would match it."""
    books.connection.execute("UPDATE postings SET booked_as = 'intercompany' WHERE key = 'k4'")
    books.connection.execute("UPDATE company SET intercompany_mark_up = 0.2")
    [cost] = books.rows("SELECT amount, entity_amount, group_amount FROM fct_cost WHERE source_id = '4'")
    assert cost == {"amount": 300, "entity_amount": 300, "group_amount": money("312.5")}, "300 GBP at 1.25, less 20 %"


def test_revenue_leakage_says_why(books: Books) -> None:
    """What is held or written off would be lost without a word of how much it is."""
    found = books.rows("SELECT reason, minutes, entity_amount FROM mart_revenue_leakage ORDER BY reason")
    assert [(r["reason"], r["minutes"], r["entity_amount"]) for r in found] == [
        ("credited", 60, money("80")), ("hold", 120, money("160")), ("written_off", 60, money("80")),
    ]  # fmt: skip


def test_the_approved_side_knows_fees_as_the_erp_does(books: Books) -> None:
    """Approved and billed amounts of a contract with fees would never be equal."""
    found = books.rows("SELECT contract_id, approved_amount, erp_amount FROM mart_billing_by_contract_month")
    assert {(r["contract_id"], r["approved_amount"], r["erp_amount"]) for r in found} == {
        ("CTR-1", money("900"), money("900")), ("CTR-2", money("1000"), money("1000")),
    }  # fmt: skip


def test_what_is_paid_has_its_date_and_comes_to_what_is_not_open(books: Books) -> None:
    """Payments would be without their dates, or what was set off by hand would still be a receivable."""
    found = books.rows(
        "SELECT payment_id, paid_on, days_to_pay, amount, entity_amount, group_amount, customer_id FROM fct_payment"
        " ORDER BY payment_id"
    )
    assert [tuple(row.values()) for row in found] == [
        ("31", dt.date(2026, 11, 1), 30, money("500"), money("500"), money("625"), "CUS-2"),
        ("other", None, None, money("250"), money("250"), money("312.5"), "CUS-2"),
    ]


def test_backlog_is_in_the_groups_currency(books: Books) -> None:
    """Contracted amounts of several entities could not be added up."""
    assert books.rows("SELECT amount, group_amount FROM fct_backlog") == [{"amount": 600, "group_amount": money("750")}]


def test_receivables_roll_forward_by_the_dates_of_payments(books: Books) -> None:
    """A payment would count in the month of its invoice, and the days until it came would be nowhere."""
    books.put("erp_invoices", invoice("8", dt.date(2026, 8, 11), "300", "0"))
    books.put(
        "erp_payments",
        payment("32", "8", dt.date(2026, 8, 31), "100"),
        payment("33", "8", dt.date(2026, 10, 10), "200"),
    )
    found = books.rows(
        "SELECT receivable_month, opening_amount, invoiced_amount, paid_amount, settled_amount, closing_amount,"
        " days_to_pay, dso_quarter FROM mart_receivables_by_month ORDER BY receivable_month"
    )
    assert [tuple(None if value is None else str(value) for value in row.values()) for row in found] == [
        ("2026-08", "0.0000", "300.0000", "100.0000", "0.0000", "200.0000", "20.00", "60.00"),
        ("2026-09", "200.0000", "0.0000", "0.0000", "0.0000", "200.0000", None, "60.00"),
        ("2026-10", "200.0000", "1000.0000", "200.0000", "250.0000", "750.0000", "60.00", "51.92"),
        ("2026-11", "750.0000", "0.0000", "500.0000", "0.0000", "250.0000", "30.00", "22.50"),
    ]
    assert books.failing() == set()


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("INSERT INTO decided_work SELECT * FROM decided_work WHERE object_id = 'e1'", "stg_decided_work.unique_grain"),
        ("UPDATE decided_work SET outcome = 'lost' WHERE object_id = 'e1'", "stg_decided_work.accepted_values_outcome"),
        ("UPDATE decided_work SET employee_id = 'EMP-9'", "fct_approved_work.relationship_employee_id"),
        ("DELETE FROM fx_rates WHERE to_currency = 'USD'", "fct_billing.every_amount_is_converted"),
        ("UPDATE projects SET code = 'P1' WHERE id = 'PRJ-2'", "fct_billing.total_equals_the_erp"),
        ("INSERT INTO erp_cost_entries SELECT * FROM erp_cost_entries WHERE erp_id = '4'", "fct_cost.unique_grain"),
        ("UPDATE projects SET code = 'P1' WHERE id = 'PRJ-2'", "fct_cost.cost_and_revenue_are_all_entries"),
        ("UPDATE erp_invoices SET net_amount = 1", "fct_invoice.net_and_tax_are_the_total"),
        ("UPDATE erp_payments SET invoice_id = '99'", "fct_payment.no_payment_is_lost"),
        ("UPDATE erp_payments SET currency = 'USD'", "fct_payment.no_payment_is_lost"),
        ("INSERT INTO erp_payments SELECT * FROM erp_payments", "stg_payments.unique_grain"),
        ("DELETE FROM customers WHERE id = 'CUS-1'", "dim_contract.relationship_customer_id"),
        ("UPDATE account_balances SET posted = 0", "mart_general_ledger_tie.it_ties"),
        ("INSERT INTO company (group_currency) VALUES ('USD')", "stg_company.unique_grain"),
    ],
)  # fmt: skip
def test_a_models_test_breaks_when_its_rule_is_broken(books: Books, change: str, broken: str) -> None:
    """A test that passes whatever the data are says nothing."""
    assert not books.fails(broken)
    books.connection.execute(change)
    assert books.fails(broken)


_SPOILED: list[tuple[str, str]] = [
    ("mart_contract_balance.it_rolls_forward", "closing_amount + 1 AS closing_amount"),
    ("mart_contract_balance.opening_is_the_closing_before", "opening_amount + 1 AS opening_amount"),
    ("mart_contract_balance.asset_or_liability", "contract_asset + 1 AS contract_asset"),
    ("mart_wip_by_contract_month.it_rolls_forward", "closing_amount + 1 AS closing_amount"),
    ("mart_wip_by_contract_month.opening_is_the_closing_before", "opening_amount + 1 AS opening_amount"),
    ("mart_wip_by_contract_month.it_is_drafts_and_the_ledger", "closing_amount + 1 AS closing_amount"),
    ("mart_wip_by_contract_month.movements_are_the_facts", "earned_amount + 1 AS earned_amount"),
    ("mart_margin_by_dimension.each_dimension_has_the_same_total",
     "CASE WHEN dimension = 'grade' THEN 0 ELSE margin_amount END AS margin_amount"),
    ("mart_general_ledger_tie.it_rolls_forward", "opening_amount + 1 AS opening_amount"),
    ("mart_margin.total_equals_the_facts", "group_margin_amount + 1 AS group_margin_amount"),
    ("fct_approved_work.minutes_equal_the_decisions", "minutes + 1 AS minutes"),
    ("mart_utilization_by_employee_month.available_is_part_of_capacity", "capacity_minutes + 1 AS available_minutes"),
    ("mart_utilization_by_employee_month.billable_is_part_of_approved", "approved_minutes + 1 AS billable_minutes"),
]  # fmt: skip


@pytest.mark.parametrize(("test", "spoiled"), _SPOILED)
def test_an_assertion_finds_a_model_that_computes_something_else(books: Books, test: str, spoiled: str) -> None:
    """The sums are right by the models' own SQL; an assertion must still see a change that makes them wrong."""
    model, name = test.split(".")
    rule = next(t for m in MODELS if m.name == model for t in m.tests if t.name == name)
    expression, column = spoiled.rsplit(" AS ", 1)
    wrong = f"WITH {model} AS (SELECT * REPLACE ({expression} AS {column}) FROM books.main.{model}) {{}}"
    assert not books.rows(rule.sql)
    assert books.rows(wrong.format(f"SELECT * FROM ({rule.sql})"))


@pytest.mark.parametrize(("name", "sql"), QUESTIONS, ids=[name for name, _ in QUESTIONS])
def test_each_question_for_analysts_has_an_answer(books: Books, name: str, sql: str) -> None:
    """The first thing that an analyst tries would be an error, or an empty table."""
    assert books.rows(sql), name


def test_there_are_ten_questions_and_they_read_published_tables() -> None:
    """A question would be about a table that the reporting file does not have."""
    assert len(QUESTIONS) == 10
    assert not [name for name, sql in QUESTIONS if "int_" in sql]


def test_shares_are_exact(books: Books) -> None:
    """A division by way of floats would be off in the last digit, or a negative one rounded the other way."""
    for part, whole in (("2", "3"), ("-2", "3"), ("1", "-7"), ("99999999999.9999", "3"), ("0", "5")):
        found = books.rows(f"SELECT share({part}, {whole}) AS x")[0]["x"]
        assert found == (money(part) / money(whole)).quantize(money("0.000001"), rounding="ROUND_HALF_UP")
    assert books.rows("SELECT share(1, 0) AS x, inverse(0.8) AS y") == [{"x": None, "y": money("1.25")}]
