"""Models made for the months alone that concern them: the same rows as if all were made anew, whatever has changed."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.duck_sql import identifier
from psa_erp_assets.adapters.lake import Lake
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.benchmarks.mart_store import make_store
from psa_erp_assets.services import reporting

_ENTRIES, _NUMBER_OF_MONTHS = 1_200, 4
_MONTHS = st.sampled_from(["2024-01", "2024-02", "2024-03"])
_ROWS = st.integers(0, 6)

# Of a month, every seventh row: each is a change that a sync, a person or a deletion brings about.
_CHANGES = {
    "more_minutes": "UPDATE decided_work SET minutes = minutes + 7 WHERE {some}",
    "decided_otherwise": "UPDATE decided_work SET outcome = 'hold', bill_amount = NULL WHERE {some}",
    "moved_to_another_project": "UPDATE decided_work SET project_id = 'PRJ-3', contract_id = 'CTR-3' WHERE {some}",
    "moved_to_another_month": "UPDATE decided_work SET service_month = '2024-01', service_date = DATE '2024-01-17'"
    " WHERE {some}",
    "no_decision_any_more": "DELETE FROM decided_work WHERE {some}",
    "time_deleted": "DELETE FROM approved_time WHERE {some}",
    "line_deleted": "DELETE FROM erp_billing_lines WHERE {some}",
    "line_invoiced_later": "UPDATE erp_billing_lines SET invoice_date = invoice_date + 400 WHERE {some}",
    "credited_in_the_erp": "UPDATE erp_billing_lines SET credits_key = key, key = NULL, net_amount = -net_amount"
    " WHERE {some}",
    "line_of_another_day": "UPDATE erp_billing_lines SET service_date = service_date + 40, currency = 'EUR'"
    " WHERE {some}",
    "booked_as_something_else": "UPDATE postings SET booked_as = 'contract_balance' WHERE {some} AND"
    " effect_type = 'billing_line'",
    "posting_of_another_object": "UPDATE postings SET object_id = 'time_entry:clockify:' || printf('%024x', 11)"
    " WHERE {some}",
    "provision": "UPDATE postings SET booked_as = 'loss_provision' WHERE {some} AND effect_type = 'revenue_entry'",
    "cost_in_the_next_period": "UPDATE erp_cost_entries SET service_month = '2024-04', service_date = DATE '2024-04-30'"
    " WHERE {some}",
    "charge": "UPDATE erp_intercompany_charges SET amount = amount * 2 WHERE {some}",
    "revenue": "UPDATE erp_revenue_entries SET amount = amount + 1 WHERE {some}",
    "difference": "UPDATE reconciliation SET difference = 'manual_change', explained = false WHERE {some}",
    "exception": "UPDATE exceptions SET resolved_at = NULL WHERE {some}",
    "new_rate": "INSERT INTO fx_rates"
    " SELECT 'FX-new-' || count(*), 'EUR', 'USD', DATE '2024-03-03', 1.2345 FROM fx_rates",
    "inverse_rate": "DELETE FROM fx_rates WHERE from_currency = 'GBP' AND date > DATE '2024-02-01'",
    "employee_promoted": "UPDATE employees SET role = 'Partner' WHERE id LIKE 'EMP-1%'",
    "contract_renamed": "UPDATE contracts SET name = name || '!', customer_id = 'CUS-1' WHERE id = 'CTR-20'",
    "dearer": "UPDATE bill_rates SET per_hour = per_hour + 1 WHERE project_id LIKE 'PRJ-2%'",
    "credit": "INSERT INTO credits SELECT 'CR-' || object_id, object_id, 5, false, false, 'x', now() FROM decided_work"
    " WHERE {some} AND kind = 'time' AND object_id NOT IN (SELECT object_id FROM credits)",
    "paid": "UPDATE erp_invoices SET open_amount = 0 WHERE legal_entity = 'UK'",
    "files_merged": "CALL ducklake_merge_adjacent_files('lake')",
    "files_rewritten": "CALL ducklake_rewrite_data_files('lake', delete_threshold => 0.01)",
    "flushed": "CALL ducklake_flush_inlined_data('lake')",
}
_KEYS = {
    "decided_work": "object_id",
    "postings": "key",
    "exceptions": "object_id",
    "approved_time": "entry_id",
    "reconciliation": "entry_id",
    "erp_billing_lines": "erp_id",
    "erp_cost_entries": "erp_id",
    "erp_intercompany_charges": "erp_id",
    "erp_revenue_entries": "erp_id",
}
_ONE = st.tuples(st.sampled_from(sorted(_CHANGES)), _MONTHS, _ROWS)
_STEPS = st.lists(st.lists(_ONE, min_size=1, max_size=3), min_size=1, max_size=2)


@pytest.fixture(scope="module")
def lake(postgres_server: ServerInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake of three years with all models built."""
    postgres.ensure_database(postgres_server, "models_by_month")
    with Lake(postgres_server.url("models_by_month"), tmp_path_factory.mktemp("lake")) as made:
        make_store(made, _ENTRIES, _NUMBER_OF_MONTHS)
        for name in reporting.models():
            reporting.build(made, name)
        yield made
    postgres.drop_database(postgres_server, "models_by_month")


def change(lake: Lake, name: str, month: str, rest: int) -> None:
    """Bring about one change, in a seventh of a month's rows where it is about rows of a month."""
    statement = _CHANGES[name]
    [key] = [key for table, key in _KEYS.items() if f" {table} " in statement] or ["object_id"]
    some = f"service_month = '{month}' AND hash({key}) % 7 = {rest}"
    lake.transaction(lambda c: c.execute(statement.format(some=some)).fetchall())


def built(lake: Lake) -> dict[str, frozenset[str] | None]:
    """The months that were made of each model, all models brought up to date."""
    return {name: reporting.build(lake, name).months for name in reporting.models()}


def differing(lake: Lake) -> list[str]:
    """Models that have other rows than their SELECT gives now, each after its inputs."""
    found = []
    with lake.connection() as connection:
        for model in reporting.models().values():
            if model.kind == "TABLE":
                connection.execute(f"CREATE OR REPLACE TEMP TABLE wanted AS {model.sql}")
                table = f"SELECT {', '.join(identifier(c.name) for c in model.columns)} FROM {identifier(model.name)}"
                both = f"(({table}) EXCEPT ALL (FROM wanted)) UNION ALL ((FROM wanted) EXCEPT ALL ({table}))"
                if connection.execute(f"SELECT 1 FROM ({both}) LIMIT 1").fetchone() is not None:
                    found.append(model.name)
    return found


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_what_is_made_by_month_is_what_is_made_as_a_whole(lake: Lake, steps: list[list[tuple[str, str, int]]]) -> None:
    """Marts would keep rows of before in some month that a change reaches on a way that nobody thought of."""
    for changes in steps:
        for name, month, rest in changes:
            change(lake, name, month, rest)
        built(lake)
        assert differing(lake) == []


def test_every_kind_of_change_is_seen(lake: Lake) -> None:
    """The one change that random steps never came to would be the one that is missed."""
    for number, name in enumerate(sorted(_CHANGES)):
        change(lake, name, ("2024-02", "2024-03")[number % 2], number % 7)
        if number % 10 == 9:
            built(lake)
            assert differing(lake) == [], name
    built(lake)
    assert differing(lake) == []


def test_only_what_a_change_concerns_is_made_again(lake: Lake) -> None:
    """Every run would make all months anew, which at ten million entries takes minutes."""
    built(lake)
    assert set(built(lake).values()) == {frozenset()}
    change(lake, "more_minutes", "2024-03", 3)
    months = built(lake)
    assert months["fct_approved_work"] == months["mart_revenue_leakage"] == frozenset({"2024-03"})
    assert months["fct_billing"] == months["fct_cost"] == months["mart_margin"] == frozenset()
    change(lake, "contract_renamed", "2024-03", 0)
    assert built(lake)["fct_billing"] is None
