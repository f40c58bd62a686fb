"""A lake of three years for the marts: so many time entries, with all that a sync would have written about them.

Four entities sell work on 600 contracts to 250 customers; 4,000 people record time, an eighth of it for another
entity than their own. Rows are made by DuckDB from the entry's number alone, month by month, so that the store is the
same each time and needs little memory. Shares that are not obvious: of all entries 76 % are billed, 8 % covered by a
fee, 10 % not billable, 2 % written off, 4 % held; one in fifty is an expense, one in a hundred has two parts, one in
seventy has been billed, taken back and billed again; one in 500 was booked in the month after its own, as its period
was closed.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import duckdb

from psa_erp_assets.adapters.duck_sql import identifier
from psa_erp_assets.adapters.lake import Lake
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES

FIRST_YEAR, MONTHS = 2024, 36
_EMPLOYEES, _CONTRACTS, _PROJECTS, _CUSTOMERS = 4_000, 600, 1_500, 250
_BY_MONTH = (
    "approved_time", "decided_work", "postings", "erp_billing_lines", "erp_intercompany_charges",
    "erp_revenue_entries", "reconciliation",
)  # fmt: skip


def service_months(number_of: int = MONTHS) -> Iterator[str]:
    """So many service months of the store, the first one first."""
    for number in range(number_of):
        yield f"{FIRST_YEAR + number // 12}-{number % 12 + 1:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Rows by lake table."""

    rows: dict[str, int]


def make_store(lake: Lake, entries: int, months: int = MONTHS) -> Made:
    """Fill the tables of an empty lake with so many entries over so many months, a commit a month."""
    lake.ensure_tables(LAKE_TABLES.values())
    with lake.connection() as connection:
        connection.begin()
        for name, statement in _MASTER.items():
            _insert(connection, name, statement)
        connection.commit()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda month: _make_month(lake, entries, months, month), range(months)))
    with lake.connection() as connection:
        connection.begin()
        for name, statement in _DERIVED.items():
            _insert(connection, name, statement)
        connection.commit()
        found = {
            name: connection.execute(f"SELECT count(*) FROM {identifier(name)}").fetchall()[0][0]
            for name in LAKE_TABLES
        }
    return Made(rows=found)


def _make_month(lake: Lake, entries: int, months: int, number: int) -> None:
    first, last = entries * number // months, entries * (number + 1) // months
    month = list(service_months(months))[number]

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        _remember_master(connection)
        _insert_month(connection, month, first, last)

    # Months are made side by side; a commit that loses against another is made again.
    lake.transaction(work)


def change_month(lake: Lake, entries: int, months: int = MONTHS) -> None:
    """Make the rows of the last month but one anew, as a sync does that finds a hundredth of its entries longer."""
    number = months - 2
    month, first, last = (
        list(service_months(months))[number],
        entries * number // months,
        entries * (number + 1) // months,
    )
    with lake.connection() as connection:
        _remember_master(connection)
        connection.begin()
        for name in _BY_MONTH:
            connection.execute(f"DELETE FROM {identifier(name)} WHERE service_month = ?", [month])
        # Some of the month's costs are booked in the next one, and some of the month before in this one.
        connection.execute(
            "DELETE FROM erp_cost_entries WHERE service_month >= ? AND CAST(erp_id AS BIGINT) BETWEEN ? AND ?",
            [month, first, last - 1],
        )
        _insert_month(connection, month, first, last, longer=15)
        connection.commit()


def _insert(connection: duckdb.DuckDBPyConnection, name: str, statement: str) -> None:
    """Insert by name; what the statement leaves out is null."""
    connection.execute(f"INSERT INTO {identifier(name)} BY NAME {statement}")


def _remember_master(connection: duckdb.DuckDBPyConnection) -> None:
    for name, statement in _LOOK_UPS.items():
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {statement}")


def _insert_month(connection: duckdb.DuckDBPyConnection, month: str, first: int, last: int, *, longer: int = 0) -> None:
    """`longer` are the minutes that each hundredth entry is longer by."""
    values = {"first": first, "last": last, "day": f"{month}-01", "month": month, "longer": longer}
    connection.execute(f"CREATE OR REPLACE TEMP TABLE entry AS {_ENTRY}", values)
    for name, statement in _OF_MONTH.items():
        _insert(connection, name, statement)
    connection.execute("DROP TABLE entry")


_ENTITY = "CASE WHEN {n} % 20 < 9 THEN 'US' WHEN {n} % 20 < 14 THEN 'UK' WHEN {n} % 20 < 18 THEN 'DE' ELSE 'AU' END"
_BOOKS = "CASE {entity} WHEN 'US' THEN 'USD' WHEN 'UK' THEN 'GBP' WHEN 'DE' THEN 'EUR' ELSE 'AUD' END"
_CENTS = "CAST(0.01 AS DECIMAL(3, 2))"


def _money(cents: str) -> str:
    """Whole cents as an amount."""
    return f"CAST(({cents}) * {_CENTS} AS DECIMAL(18, 4))"


_MASTER = {
    "company": "SELECT 'USD' AS group_currency",
    "legal_entities": """
        SELECT * FROM (VALUES ('US', 'Inc.', 'USD', 'US', 'America/New_York', '1'),
            ('UK', 'Ltd.', 'GBP', 'GB', 'Europe/London', '2'), ('DE', 'GmbH', 'EUR', 'DE', 'Europe/Berlin', '3'),
            ('AU', 'Pty', 'AUD', 'AU', 'Australia/Sydney', '4')) AS e(code, name, currency, country, time_zone,
            erp_company)""",
    "customers": f"""
        SELECT 'CUS-' || n AS id, 'Customer ' || n AS name, ['US', 'GB', 'DE', 'AU', 'FR'][n % 5 + 1] AS country,
            CAST(n AS VARCHAR) AS crm_id, 'client-' || n AS psa_id, CAST(n AS VARCHAR) AS erp_party
        FROM range({_CUSTOMERS}) AS r(n)""",
    "contracts": f"""
        SELECT 'CTR-' || n AS id, 'Contract ' || n AS name, 'CUS-' || n % {_CUSTOMERS} AS customer_id,
            {_ENTITY.format(n="n")} AS legal_entity,
            ['time_and_materials', 'time_and_materials', 'fixed_fee', 'retainer', 'capped'][n % 5 + 1] AS kind,
            CASE WHEN n % 7 = 0 THEN 'EUR' ELSE {_BOOKS.format(entity="(" + _ENTITY.format(n="n") + ")")} END
                AS currency,
            DATE '{FIRST_YEAR}-01-01' AS valid_from
        FROM range({_CONTRACTS}) AS r(n)""",
    "projects": f"""
        SELECT 'PRJ-' || n AS id, 'P' || n AS code, 'Project ' || n AS name, 'psa-' || n AS psa_id,
            CASE WHEN n % 33 <> 32 THEN 'CTR-' || n % {_CONTRACTS} END AS contract_id, false AS closed
        FROM range({_PROJECTS}) AS r(n)""",
    "employees": f"""
        SELECT 'EMP-' || n AS id, 'Employee ' || n AS name, 'user-' || n AS psa_user_id,
            {_ENTITY.format(n="n")} AS legal_entity, 'Practice ' || n % 12 AS department, 'UTC' AS time_zone,
            ['Analyst', 'Consultant', 'Senior', 'Manager', 'Partner'][n % 5 + 1] AS role
        FROM range({_EMPLOYEES}) AS r(n)""",
    "bill_rates": f"""
        SELECT 'BR-' || p.id || '-' || year || '-' || who AS id, p.id AS project_id,
            CASE WHEN who > 0 THEN 'EMP-' || (CAST(p.id[5:] AS BIGINT) * 3 + who * 5) % {_EMPLOYEES} END AS employee_id,
            CAST(90 + CAST(p.id[5:] AS BIGINT) % 90 + who * 10 + (year - {FIRST_YEAR}) * 3 AS DECIMAL(18, 6))
                AS per_hour,
            coalesce(c.currency, 'USD') AS currency,
            make_date(year, 1, 1) AS valid_from,
            CASE WHEN year < {FIRST_YEAR + 2} THEN make_date(year, 12, 31) END AS valid_to
        FROM projects AS p LEFT JOIN contracts AS c ON c.id = p.contract_id
        CROSS JOIN range({FIRST_YEAR}, {FIRST_YEAR + 3}) AS y(year) CROSS JOIN range(3) AS w(who)""",
    "fx_rates": f"""
        SELECT 'FX-' || pair.a || pair.b || '-' || day AS id, pair.a AS from_currency, pair.b AS to_currency,
            CAST(day AS DATE) AS date,
            CAST(pair.base + (hash(pair.a, pair.b, day) % 400) * CAST(0.0001 AS DECIMAL(5, 4)) AS DECIMAL(20, 10))
                AS rate
        FROM (VALUES ('USD', 'EUR', CAST(0.92 AS DECIMAL(4, 2))), ('USD', 'GBP', CAST(0.79 AS DECIMAL(4, 2))),
            ('USD', 'AUD', CAST(1.52 AS DECIMAL(4, 2)))) AS pair(a, b, base)
        CROSS JOIN range(DATE '{FIRST_YEAR - 1}-12-25', DATE '{FIRST_YEAR + 3}-03-01', INTERVAL 7 DAY) AS d(day)""",
}

_LOOK_UPS = {
    "of_project": f"""
        SELECT CAST(p.id[5:] AS BIGINT) AS n, p.id, p.code, c.id AS contract_id, c.customer_id, c.kind AS contract_kind,
            coalesce(c.legal_entity, 'US') AS legal_entity, coalesce(c.currency, 'USD') AS currency,
            coalesce(e.currency, 'USD') AS books, 90 + CAST(p.id[5:] AS BIGINT) % 90 AS rate
        FROM projects AS p LEFT JOIN contracts AS c ON c.id = p.contract_id
        LEFT JOIN legal_entities AS e ON e.code = c.legal_entity WHERE CAST(p.id[5:] AS BIGINT) < {_PROJECTS}""",
    "of_employee": "SELECT CAST(id[5:] AS BIGINT) AS n, id, legal_entity FROM employees",
}

# One row a piece of work, of which all tables are made. `draw` decides its fate: hundredths of a per cent.
_ENTRY = f"""
SELECT
    drawn.i, drawn.draw, drawn.day, $month AS service_month,
    CASE WHEN drawn.i % 50 = 7 THEN 'expense' ELSE 'time' END AS kind,
    CASE WHEN drawn.i % 50 = 7 THEN 'expense:' ELSE 'time_entry:' END || 'clockify:' || lower(printf('%024x', drawn.i))
        AS object_id,
    employee.id AS employee_id, employee.legal_entity AS employer, project.id AS project_id,
    project.code AS project_code, project.contract_id, project.customer_id, project.legal_entity, project.currency,
    project.books,
    CAST(CASE WHEN drawn.i % 50 = 7 THEN 0 ELSE 15 + 15 * (drawn.draw % 32) END
        + CASE WHEN drawn.i % 50 <> 7 AND drawn.i % 100 = 3 THEN CAST($longer AS BIGINT) ELSE 0 END AS BIGINT)
        AS minutes,
    CASE
        WHEN project.contract_id IS NULL THEN 'non_billable'
        WHEN drawn.draw < 7600 THEN 'post'
        WHEN drawn.draw < 8400 THEN 'covered'
        WHEN drawn.draw < 8600 THEN 'written_off'
        WHEN drawn.draw < 9600 THEN 'non_billable'
        ELSE 'hold'
    END AS outcome,
    project.rate,
    CASE WHEN drawn.i % 500 = 11 THEN CAST(last_day(drawn.day) + 1 AS DATE) ELSE drawn.day END AS booked_on,
    drawn.i % 70 = 13 AS billed_twice
FROM (
    SELECT i, CAST(hash(i) % 10000 AS BIGINT) AS draw, hash(i, 1) AS spread,
        CAST(CAST($day AS DATE) + CAST(hash(i, 2) % day(last_day(CAST($day AS DATE))) AS INTEGER) AS DATE) AS day
    FROM range(CAST($first AS BIGINT), CAST($last AS BIGINT)) AS r(i)
) AS drawn
INNER JOIN of_employee AS employee ON employee.n = drawn.spread % {_EMPLOYEES}
INNER JOIN of_project AS project ON project.n = CASE
    -- Project and person of the same remainder by 20 are of the same entity.
    WHEN drawn.spread // 5000 % 10 < 8
        THEN (employee.n * 7 + drawn.spread // 50000 % 6) % ({_PROJECTS} // 20) * 20 + employee.n % 20
    ELSE (employee.n * 7 + drawn.spread // 50000 % 6) % {_PROJECTS}
END
"""
_VALUE = _money("CASE WHEN kind = 'time' THEN minutes * rate * 100 // 60 ELSE 5000 + draw * 3 END")
_COST = _money("CASE WHEN kind = 'time' THEN minutes * rate * 45 // 60 ELSE 5000 + draw * 3 END")
_BILLED = "outcome = 'post'"
_ABROAD = "employer <> legal_entity AND contract_id IS NOT NULL AND kind = 'time'"
_CONTRACT_MONTHS = """
    SELECT c.id AS contract_id, c.legal_entity, c.currency, e.currency AS books, m.service_month, m.day,
        CAST(c.id[5:] AS BIGINT) AS n, m.number,
        (SELECT min(code) FROM of_project WHERE of_project.contract_id = c.id) AS project_code
    FROM contracts AS c INNER JOIN legal_entities AS e ON e.code = c.legal_entity
    CROSS JOIN (SELECT min(service_month) AS service_month, min(last_day(day)) AS day,
        CAST(date_diff('month', DATE '2024-01-01', min(day)) AS BIGINT) AS number FROM entry) AS m
    WHERE c.kind IN ('fixed_fee', 'retainer')"""
# A billed-twice line is there three times: leg 1 the first one, 2 what took it back, 3 the new one.
_LEGS = "CROSS JOIN range(1, 4) AS legs(leg)"
_LEG = "(legs.leg = 1 OR billed_twice)"
_TIMES = """CAST(day AS TIMESTAMP) + INTERVAL 30 HOUR AS created_at, CAST(1 AS BIGINT) AS attempts,
            CAST(day AS TIMESTAMP) + INTERVAL 29 HOUR AS approved_at,
            CAST(day AS TIMESTAMP) + INTERVAL 31 HOUR + to_minutes(CAST(hash(object_id) % 600 AS INTEGER))
                AS drafted_at"""
_SIGN = "CASE WHEN legs.leg = 2 THEN -1 ELSE 1 END"

_OF_MONTH = {
    "approved_time": f"""
        SELECT 'bench' AS tenant, object_id AS entry_id, CAST(1 AS BIGINT) AS revision, legal_entity, service_month,
            day AS service_date, employee_id, project_id, contract_id, customer_id, minutes,
            outcome <> 'non_billable' OR contract_id IS NULL AS billable, outcome,
            CASE WHEN outcome = 'hold' THEN ['no_bill_rate'] ELSE [] END AS hold_codes,
            CASE WHEN {_BILLED} THEN {_VALUE} END AS bill_amount, CASE WHEN {_BILLED} THEN currency END
                AS bill_currency,
            {_COST} AS cost_amount, books AS cost_currency,
            CAST(day AS TIMESTAMP) + INTERVAL 18 HOUR AS recorded_at
        FROM entry WHERE kind = 'time'""",
    "decided_work": f"""
        SELECT object_id, CAST(parts.part AS BIGINT) AS part, kind, legal_entity, service_month, day AS service_date,
            employee_id, project_id, contract_id, CASE WHEN contract_id IS NOT NULL THEN 'main' END AS component,
            CASE WHEN parts.part = 2 THEN 'written_off' ELSE outcome END AS outcome,
            CASE WHEN i % 100 = 3 THEN CASE WHEN parts.part = 1 THEN minutes - minutes // 3 ELSE minutes // 3 END
                ELSE minutes END AS minutes,
            outcome <> 'non_billable' OR contract_id IS NULL AS recorded_as_billable,
            CASE WHEN outcome IN ('post', 'covered', 'written_off') THEN {_VALUE} END AS amount,
            CASE WHEN {_BILLED} AND parts.part = 1 THEN {_VALUE} END AS bill_amount,
            CASE WHEN outcome IN ('post', 'covered', 'written_off') THEN currency END AS currency,
            CASE WHEN outcome = 'hold' THEN 'no_bill_rate' END AS reason
        FROM entry CROSS JOIN range(1, 3) AS parts(part)
        WHERE parts.part = 1 OR (i % 100 = 3 AND outcome <> 'hold')
        UNION ALL BY NAME
        SELECT 'contract:' || contract_id || ':revenue:main:' || service_month AS object_id, CAST(1 AS BIGINT) AS part,
            'revenue' AS kind, legal_entity, service_month, day AS service_date, contract_id, 'main' AS component,
            'post' AS outcome, CAST(0 AS BIGINT) AS minutes, true AS recorded_as_billable,
            {_money("900000 + n * 100")} AS amount, currency
        FROM ({_CONTRACT_MONTHS})
        UNION ALL BY NAME
        SELECT 'contract:' || contract_id || ':instalment:main:' || service_month AS object_id,
            CAST(1 AS BIGINT) AS part, 'instalment' AS kind, legal_entity, service_month, day AS service_date,
            contract_id, 'main' AS component, 'post' AS outcome, CAST(0 AS BIGINT) AS minutes,
            true AS recorded_as_billable, {_money("2700000 + n * 300")} AS amount,
            {_money("2700000 + n * 300")} AS bill_amount, currency
        FROM ({_CONTRACT_MONTHS}) WHERE number % 3 = 0""",
    "postings": f"""
        SELECT md5('b' || i || '/' || legs.leg) AS key, 'billing_line' AS effect_type, object_id,
            {_money("0")} + {_SIGN} * {_VALUE} AS amount, {_SIGN} * minutes AS minutes, 'revenue' AS booked_as,
            legal_entity, service_month, CAST(legs.leg AS BIGINT) AS revision, 'verified' AS state, currency,
            CAST(i * 3 + legs.leg AS VARCHAR) AS erp_id, day AS service_date, {_TIMES},
            CASE WHEN legs.leg = 2 THEN 'reversal' ELSE 'original' END AS leg, 'create' AS operation,
            CASE WHEN legs.leg = 2 THEN md5('b' || i || '/1') END AS target_key
        FROM entry {_LEGS} WHERE {_BILLED} AND {_LEG}
        UNION ALL BY NAME
        SELECT md5('c' || i) AS key, 'cost_transaction' AS effect_type, object_id, {_COST} AS amount, minutes,
            CASE WHEN kind = 'expense' THEN 'expense' WHEN {_ABROAD} THEN 'intercompany' ELSE 'labor' END AS booked_as,
            legal_entity, service_month, CAST(1 AS BIGINT) AS revision, 'verified' AS state, books AS currency,
            CAST(i AS VARCHAR) AS erp_id, day AS service_date, {_TIMES},
            'original' AS leg, 'create' AS operation
        FROM entry WHERE contract_id IS NOT NULL
        UNION ALL BY NAME
        SELECT md5('x' || i) AS key, 'intercompany_charge' AS effect_type, object_id, {_COST} AS amount, minutes,
            legal_entity, service_month, CAST(1 AS BIGINT) AS revision, 'verified' AS state, books AS currency,
            CAST(i AS VARCHAR) AS erp_id, day AS service_date, {_TIMES},
            'original' AS leg, 'create' AS operation
        FROM entry WHERE {_ABROAD}
        UNION ALL BY NAME
        SELECT md5(what.code || contract_id || service_month) AS key, what.effect AS effect_type,
            'contract:' || contract_id || what.object || service_month AS object_id,
            CASE WHEN what.code = 'r' THEN {_money("900000 + n * 100")} ELSE {_money("2700000 + n * 300")} END
                AS amount,
            CAST(0 AS BIGINT) AS minutes, what.booked_as AS booked_as, legal_entity, service_month,
            CAST(1 AS BIGINT) AS revision, 'verified' AS state,
            CASE WHEN what.code = 'r' THEN books ELSE currency END AS currency,
            what.code || n || '-' || number AS erp_id, day AS service_date, {_TIMES},
            'original' AS leg, 'create' AS operation
        FROM ({_CONTRACT_MONTHS}) CROSS JOIN (VALUES
            ('r', 'revenue_entry', ':revenue:main:', 'recognition'),
            ('i', 'billing_line', ':instalment:main:', 'contract_balance')) AS what(code, effect, object, booked_as)
        WHERE what.code = 'r' OR number % 3 = 0""",
    "erp_billing_lines": f"""
        SELECT md5('b' || i || '/' || legs.leg) AS key, CAST(i * 3 + legs.leg AS VARCHAR) AS erp_id, legal_entity,
            service_month, day AS service_date, customer_id AS party_code, project_code, {_SIGN} * minutes AS minutes,
            {_money("0")} + {_SIGN} * {_VALUE} AS net_amount, currency,
            CASE WHEN i % 10 <> 9 THEN {_money("0")} END AS tax_amount,
            CASE WHEN i % 10 <> 9 THEN 'INV-' || contract_id || '-' || service_month END AS invoice_number,
            CASE WHEN i % 10 <> 9 THEN 'posted' END AS invoice_state, i % 10 <> 9 AS posted,
            CASE WHEN i % 10 <> 9 THEN CAST(last_day(day) + 5 AS DATE) END AS invoice_date
        FROM entry {_LEGS} WHERE {_BILLED} AND {_LEG}
        UNION ALL BY NAME
        SELECT md5('i' || contract_id || service_month) AS key, 'i' || n || '-' || number AS erp_id, legal_entity,
            service_month, day AS service_date, project_code, CAST(0 AS BIGINT) AS minutes,
            {_money("2700000 + n * 300")} AS net_amount, currency, {_money("0")} AS tax_amount,
            'INV-' || contract_id || '-' || service_month AS invoice_number, 'posted' AS invoice_state, true AS posted,
            CAST(day + 5 AS DATE) AS invoice_date
        FROM ({_CONTRACT_MONTHS}) WHERE number % 3 = 0""",
    "erp_cost_entries": f"""
        SELECT md5('c' || i) AS key, CAST(i AS VARCHAR) AS erp_id, legal_entity, strftime(booked_on, '%Y-%m')
                AS service_month,
            booked_on AS service_date, project_code, minutes, {_COST} AS amount, books AS currency,
            'C' || i AS entry_number, 'posted' AS entry_state, true AS posted
        FROM entry WHERE contract_id IS NOT NULL""",
    "erp_intercompany_charges": f"""
        SELECT md5('x' || i) AS key, CAST(i AS VARCHAR) AS erp_id, employer AS legal_entity, service_month,
            day AS service_date, project_code, minutes, {_COST} AS amount,
            {_BOOKS.format(entity="employer")} AS currency, 'X' || i AS entry_number, 'posted' AS entry_state,
            true AS posted
        FROM entry WHERE {_ABROAD}""",
    "erp_revenue_entries": f"""
        SELECT md5('r' || contract_id || service_month) AS key, 'r' || n || '-' || number AS erp_id, legal_entity,
            service_month, day AS service_date, project_code, CAST(0 AS BIGINT) AS minutes,
            {_money("900000 + n * 100")} AS amount, books AS currency, 'R' || n || '-' || number AS entry_number,
            'posted' AS entry_state, true AS posted
        FROM ({_CONTRACT_MONTHS})""",
    "reconciliation": f"""
        SELECT legal_entity, service_month, contract_id, employee_id, object_id AS entry_id,
            minutes AS approved_minutes, CASE WHEN {_BILLED} THEN minutes ELSE 0 END AS erp_minutes,
            CASE WHEN {_BILLED} AND i % 10 <> 9 THEN minutes ELSE 0 END AS invoiced_minutes,
            CASE WHEN {_BILLED} THEN {_VALUE} END AS approved_amount,
            CASE WHEN {_BILLED} THEN {_VALUE} ELSE {_money("0")} END AS erp_amount,
            CASE WHEN {_BILLED} AND i % 10 <> 9 THEN {_VALUE} ELSE {_money("0")} END AS invoiced_amount, currency,
            CASE WHEN outcome = 'hold' THEN 'held' WHEN outcome <> 'post' THEN outcome
                WHEN i % 10 = 9 THEN 'not_invoiced' ELSE 'matched' END AS difference,
            true AS explained, CASE WHEN outcome = 'hold' THEN 'Add a bill rate.' ELSE 'Nothing.' END AS next_step
        FROM entry WHERE contract_id IS NOT NULL AND kind = 'time'""",
}

_DERIVED = {
    "erp_invoices": f"""
        SELECT CAST(row_number() OVER (ORDER BY invoice_number) AS VARCHAR) AS erp_id, invoice_number AS number,
            legal_entity, coalesce(any_value(party_code), 'CUS-0') AS party_code, max(invoice_date) AS invoice_date,
            currency,
            CAST(sum(net_amount) AS DECIMAL(18, 4)) AS net_amount, {_money("0")} AS tax_amount,
            CAST(sum(net_amount) AS DECIMAL(18, 4)) AS total_amount,
            CASE WHEN max(service_month) > '{FIRST_YEAR + 2}-09' THEN CAST(sum(net_amount) AS DECIMAL(18, 4))
                ELSE {_money("0")} END AS open_amount, 'posted' AS state
        FROM erp_billing_lines WHERE invoice_number IS NOT NULL GROUP BY invoice_number, legal_entity, currency""",
    "erp_payments": """
        SELECT 'P' || erp_id AS erp_id, 'PAY' || erp_id AS number, erp_id AS invoice_id, legal_entity,
            invoice_date + 20 + CAST(hash(erp_id) % 30 AS INTEGER) AS paid_on, total_amount - open_amount AS amount,
            currency
        FROM erp_invoices WHERE total_amount <> open_amount AND invoice_date IS NOT NULL""",
    "exceptions": """
        SELECT row_number() OVER (ORDER BY object_id) AS id, 'no_bill_rate' AS code, 'data' AS fault_class,
            'finance' AS owner, 'Add a bill rate.' AS next_step, object_id, legal_entity, service_month, minutes,
            'There is no rate.' AS detail, CAST(service_date AS TIMESTAMP) AS first_seen_at,
            CAST(service_date AS TIMESTAMP) + INTERVAL 2 DAY AS last_seen_at,
            CASE WHEN hash(object_id) % 8 <> 0 THEN CAST(service_date AS TIMESTAMP) + INTERVAL 3 DAY END AS resolved_at,
            CASE WHEN hash(object_id) % 8 <> 0 THEN 'cause_gone' END AS resolution
        FROM decided_work WHERE outcome = 'hold' AND part = 1""",
    "contract_balances": f"""
        SELECT contract_id, 'main' AS component, service_month, currency,
            CAST(sum(coalesce(bill_amount, 0)) OVER so_far AS DECIMAL(18, 4)) AS billed,
            CAST(sum(CASE WHEN kind = 'revenue' THEN amount ELSE {_money("0")} END) OVER so_far AS DECIMAL(18, 4))
                AS earned,
            CAST(0 AS BIGINT) AS minutes
        FROM (SELECT contract_id, service_month, max(currency) AS currency, max(bill_amount) AS bill_amount,
                'revenue' AS kind, max(CASE WHEN kind = 'revenue' THEN amount END) AS amount
            FROM decided_work WHERE kind IN ('revenue', 'instalment') GROUP BY contract_id, service_month)
        WINDOW so_far AS (PARTITION BY contract_id ORDER BY service_month)""",
    "contract_backlog": f"""
        SELECT id AS contract_id, 'main' AS component, '{FIRST_YEAR + 2}-12' AS as_of_month,
            strftime(month, '%Y-%m') AS month, {_money("900000")} AS amount, currency
        FROM contracts CROSS JOIN range(DATE '{FIRST_YEAR + 3}-01-01', DATE '{FIRST_YEAR + 4}-01-01', INTERVAL 1 MONTH)
            AS m(month)
        WHERE kind IN ('fixed_fee', 'retainer')""",
    "account_balances": """
        SELECT legal_entity, service_month AS month, '1400' AS account, 'contract_balance' AS role,
            CAST(sum(amount) AS DECIMAL(18, 4)) AS posted, CAST(0 AS DECIMAL(18, 4)) AS draft, currency
        FROM erp_revenue_entries GROUP BY legal_entity, service_month, currency""",
    "credits": f"""
        SELECT 'CR-' || row_number() OVER (ORDER BY object_id) AS id, object_id, minutes // 2 AS minutes,
            hash(object_id) % 2 = 0 AS rebill, false AS in_erp, 'Agreed with the customer.' AS reason,
            CAST(service_date AS TIMESTAMP) AS requested_at
        FROM decided_work WHERE outcome = 'post' AND kind = 'time' AND part = 1 AND hash(object_id) % 5000 = 0
            AND service_month >= '{FIRST_YEAR}-01'""",
}
