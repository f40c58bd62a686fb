"""How well the sync itself does: lines, exceptions, invoices and adjustments in, the figures of the marts out."""

import datetime as dt
from typing import Any

import pytest

from psa_erp_assets_tests.unit.test_measures import AT, DAY, Books, books, invoice, money, template

__all__ = ["books", "template"]

HERE = {"legal_entity": "UK", "service_month": "2026-09"}


def at(day: int, hour: int = 0, month: int = 9) -> dt.datetime:
    return dt.datetime(2026, month, day, hour, tzinfo=dt.UTC)


def sent(books: Books, number: int, approved: dt.datetime | None, drafted: dt.datetime | None, **more: Any) -> None:
    """A billing line of the sync, approved and drafted at these times."""
    books.put("postings", {
        **HERE, "service_date": DAY, "key": f"n{number}", "effect_type": "billing_line", "leg": "original",
        "operation": "create", "object_id": f"n{number}", "revision": 1, "state": "verified", "amount": money("1"),
        "currency": "GBP", "minutes": 1, "created_at": AT, "booked_as": "revenue", "attempts": 1,
        "approved_at": approved, "drafted_at": drafted} | more)  # fmt: skip


def on_invoice(books: Books, number: int, invoice_number: str, on: dt.date, **more: Any) -> None:
    """The line in the ERP, on a posted invoice."""
    books.put("erp_billing_lines", {
        **HERE, "service_date": DAY, "key": f"n{number}", "erp_id": f"n{number}", "minutes": 1,
        "net_amount": money("1"), "currency": "GBP", "posted": True, "invoice_number": invoice_number,
        "invoice_state": "posted", "invoice_date": on} | more)  # fmt: skip


def only(books: Books, mart: str) -> dict[str, Any]:
    [row] = books.rows(f"SELECT * FROM {mart}")
    return row


def test_cycle_times_are_medians_and_ninth_deciles_of_what_has_come_so_far(books: Books) -> None:
    """A line that waits would count as quick, a mean would hide the slow ones, or a credit would be taken for work."""
    books.connection.execute("DELETE FROM postings")
    books.connection.execute("DELETE FROM erp_billing_lines")
    for number in range(1, 11):
        sent(books, number, at(16), at(16, hour=number), state="verified")
    sent(books, 11, at(16), None, state="planned")
    sent(books, 12, at(16), at(30), leg="reversal")
    sent(books, 13, at(16), None, state="cancelled")
    on_invoice(books, 1, "8", dt.date(2026, 9, 20))
    on_invoice(books, 2, "8", dt.date(2026, 9, 10))
    found = only(books, "mart_cycle_time_by_month")
    assert (found["lines"], found["drafted_lines"], found["posted_lines"]) == (11, 10, 2)
    assert found["approval_to_draft_minutes_p50"] == 5 * 60
    assert found["approval_to_draft_minutes_p90"] == 9 * 60
    assert (found["service_to_draft_days_p50"], found["service_to_draft_days_p90"]) == (1, 1)
    dated_back = books.rows("SELECT * FROM fct_billing_cycle WHERE posting_key = 'n2'")[0]
    assert (dated_back["draft_to_posted_days"], dated_back["service_to_posted_days"]) == (0, -5)
    assert found["draft_to_posted_days_p90"] == 4
    waiting = books.rows("SELECT * FROM fct_billing_cycle WHERE posting_key = 'n3'")[0]
    assert waiting["draft_to_posted_days"] is None, "what is not invoiced has not been quick"


def test_exception_rate_counts_work_once(books: Books) -> None:
    """Two exceptions of one entry would be two entries in trouble, or a resolved one would be forgotten."""
    for number, resolved in ((2, at(16, hour=3)), (3, None)):
        books.put("exceptions", {
            **HERE, "id": number, "code": "no_fx_rate", "fault_class": "data", "owner": "finance", "next_step": "-",
            "object_id": "e1" if resolved else "e2", "detail": "-", "first_seen_at": AT, "last_seen_at": AT,
            "resolved_at": resolved})  # fmt: skip
    found = only(books, "mart_exception_rate_by_month")
    assert (found["work_items"], found["items_in_trouble"], found["items_in_open_trouble"]) == (6, 2, 1)
    assert (found["exceptions"], found["exception_rate"]) == (3, money("0.333333"))
    assert (found["resolution_minutes_p50"], found["resolution_minutes_p90"]) == (180, 180)


@pytest.mark.parametrize(
    ("change", "first_pass", "corrected", "cancelled"),
    [
        ("SELECT 1", 1, 0, 0),
        ("UPDATE erp_invoices SET state = 'cancelled'", 0, 0, 1),
        ("UPDATE postings SET state = 'drift' WHERE key = 'k2'", 0, 1, 0),
        (
            (
                "INSERT INTO postings BY NAME (SELECT * REPLACE ('r2' AS key, 'reversal' AS leg, 'k2' AS target_key)"
                " FROM postings WHERE key = 'k2')"
            ),
            0, 1, 0,
        ),
        (
            (
                "INSERT INTO erp_billing_lines BY NAME (SELECT * REPLACE ('9' AS erp_id, NULL AS key,"
                " 'k2' AS credits_key, NULL AS invoice_number) FROM erp_billing_lines WHERE key = 'k2')"
            ),
            0, 1, 0,
        ),
    ],
    ids=["as it was posted", "cancelled", "changed by hand", "reversed by the sync", "credited by finance"],
)  # fmt: skip
def test_an_invoice_is_right_the_first_time_or_not(
    books: Books, change: str, first_pass: int, corrected: int, cancelled: int
) -> None:
    """A credited invoice would count as accurate."""
    books.connection.execute(change)
    found = only(books, "mart_invoice_accuracy_by_month")
    counts = (found["first_pass_invoices"], found["corrected_invoices"], found["cancelled_invoices"])
    assert counts == (first_pass, corrected, cancelled)
    assert found["first_pass_accuracy"] == first_pass


def test_credit_notes_and_drafts_are_no_invoices(books: Books) -> None:
    """Each correction would be another accurate invoice."""
    books.put("erp_invoices", invoice("8", dt.date(2026, 10, 3), "-50", "-50"))
    books.put("erp_invoices", invoice("9", dt.date(2026, 10, 3), "50", "50") | {"number": None, "state": "draft"})
    assert only(books, "mart_invoice_accuracy_by_month")["invoices"] == 1


def test_reconciliation_time_is_that_of_differences_to_the_erp(books: Books) -> None:
    """A missing rate would be taken for a difference between the books."""
    for number, code, resolved in (
        (2, "posting_drift", at(16, hour=2)), (3, "document_missing", at(16, hour=6)), (4, "posting_conflict", None),
    ):  # fmt: skip
        books.put("exceptions", {
            **HERE, "id": number, "code": code, "fault_class": "conflict", "owner": "finance", "next_step": "-",
            "object_id": f"x{number}", "detail": "-", "first_seen_at": AT, "last_seen_at": AT,
            "resolved_at": resolved})  # fmt: skip
    found = only(books, "mart_reconciliation_time_by_month")
    assert (found["differences"], found["explained_differences"], found["open_differences"]) == (3, 2, 1)
    assert (found["reconciliation_minutes_p50"], found["reconciliation_minutes_p90"]) == (120, 360)
    assert found["oldest_open_since"] == AT


def test_what_people_do_beside_the_sync_is_counted_by_kind(books: Books) -> None:
    """Work by hand would stay unseen, or lines that finance made for its own would be the sync's."""
    books.put("adjustments",
        {**HERE, "id": "write_off:1", "kind": "write_off", "object_id": "e2", "reason": "-", "decided_at": AT},
        {**HERE, "id": "period_choice:1", "kind": "period_choice", "object_id": "e1", "choice": "by_hand",
         "reason": "-", "decided_at": AT})  # fmt: skip
    on_invoice(books, 1, "8", DAY, key=None, net_amount=money("12.50"))
    on_invoice(books, 2, "8", DAY, key=None, credits_key="k1", net_amount=money("-10"))
    found = {r["kind"]: (r["adjustments"], r["amount"]) for r in books.rows("SELECT * FROM mart_manual_adjustments")}
    assert found == {
        "line_by_hand": (1, money("12.50")), "credit_by_hand": (1, money("-10")), "credit": (1, 0),
        "write_off": (1, 0), "period_by_hand": (1, 0),
    }  # fmt: skip


def test_billable_time_is_followed_to_revenue_or_to_a_reason(books: Books) -> None:
    """Utilization and revenue would be two stories that nobody can join."""
    books.connection.execute("UPDATE decided_work SET reason = 'no_bill_rate' WHERE object_id = 'e2'")
    found = only(books, "mart_traceability_by_month")
    minutes = ("billable_minutes", "billed_minutes", "covered_minutes", "reasoned_minutes", "untraced_minutes")
    # The two written-off entries have no reason here, and so they lead nowhere.
    assert [found[name] for name in minutes] == [1080, 540, 300, 120, 120]
    assert found["traceable_fraction"] == money("0.888889")
    assert found["traced_revenue_fraction"] == 1
    on_invoice(books, 1, "8", DAY, key=None, net_amount=money("280"))
    assert only(books, "mart_traceability_by_month")["traced_revenue_fraction"] == money("0.8"), "1,120 of 1,400"


def test_one_row_a_month_has_it_all(books: Books) -> None:
    """A month with an invoice and no work, or the reverse, would be missing or be there twice."""
    found = {(r["legal_entity"], r["service_month"]): r for r in books.rows("SELECT * FROM mart_sync_health")}
    assert set(found) == {("UK", "2026-09"), ("UK", "2026-10")}
    september = found["UK", "2026-09"]
    assert september["exception_rate"] == money("0.166667")
    assert september["manual_adjustments"] == 1
    assert (september["leakage_minutes"], september["leakage_amount"]) == (240, 320)
    assert found["UK", "2026-10"]["first_pass_accuracy"] == 1
