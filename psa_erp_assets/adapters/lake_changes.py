"""What changed between two states of the lake by contract and month, and the fact that changed with it.

What belongs here: the comparison, set-based, of two snapshots on a connection of `Lake.between`. What does not: what
the causes mean (`domain.report_changes`).

An amount is the sum of documents in the ERP, so a difference is that of documents that are new, gone or others. Of
each, the first that applies is its cause: what happened to the document in the ERP itself; else what happened to the
work behind it, which its posting names. What a contract bills or earns by its own terms follows from its other work.
"""

from collections.abc import Sequence
from typing import Any

import duckdb

STATES = ("before", "after")
SHOWN_IDS = 20

# Each document's amount under each measure, at the place (contract, month) that the marts have it at.
_AMOUNTS = """
    SELECT 'billed' AS measure, 'billing_line' AS source, billing_line_id AS id, 'document' AS role, legal_entity,
           contract_id, service_month AS month, entity_currency AS currency, entity_amount AS amount
    FROM {state}.fct_billing
    UNION ALL
    SELECT 'invoiced', 'billing_line', billing_line_id, 'invoice', legal_entity, contract_id, service_month,
           entity_currency, entity_amount
    FROM {state}.fct_billing WHERE invoiced
    UNION ALL
    SELECT 'revenue', source, source_id, 'document', legal_entity, contract_id, service_month, entity_currency,
           entity_amount
    FROM {state}.fct_revenue
    UNION ALL
    SELECT 'cost', source, source_id, 'document', legal_entity, contract_id, service_month, entity_currency,
           entity_amount
    FROM {state}.fct_cost
    UNION ALL
    SELECT 'wip', source, source_id, 'document', legal_entity, contract_id, service_month, entity_currency,
           entity_amount
    FROM {state}.fct_revenue
    UNION ALL
    SELECT 'wip', 'billing_line', billing_line_id, 'invoice', legal_entity, contract_id,
           strftime(invoice_date, '%Y-%m'), entity_currency, -entity_amount
    FROM {state}.fct_billing WHERE invoiced AND invoice_date IS NOT NULL
"""

# The same as the marts have it, which the parts must come to.
_TOTALS = """
    SELECT 'billed' AS measure, legal_entity, contract_id, service_month AS month, entity_currency AS currency,
           entity_amount AS amount
    FROM {state}.fct_billing
    UNION ALL
    SELECT 'invoiced', legal_entity, contract_id, service_month, entity_currency, entity_amount
    FROM {state}.fct_billing WHERE invoiced
    UNION ALL
    SELECT 'revenue', legal_entity, contract_id, service_month, entity_currency, revenue_amount
    FROM {state}.mart_margin
    UNION ALL
    SELECT 'cost', legal_entity, contract_id, service_month, entity_currency, cost_amount FROM {state}.mart_margin
    UNION ALL
    SELECT 'wip', legal_entity, contract_id, service_month, entity_currency, earned_amount - billed_amount
    FROM {state}.mart_wip_by_contract_month
"""

_DELTAS = f"""
    CREATE TEMP TABLE deltas AS
    SELECT measure, source, id, role, legal_entity, contract_id, month, currency, sum(amount) AS amount
    FROM (
        SELECT measure, source, id, role, legal_entity, contract_id, month, currency, -amount AS amount
        FROM ({_AMOUNTS.format(state="before")})
        UNION ALL
        {_AMOUNTS.format(state="after")}
    )
    WHERE ($legal_entity IS NULL OR legal_entity = $legal_entity)
        AND ($contract_id IS NULL OR contract_id = $contract_id)
        AND ($measure IS NULL OR measure = $measure)
    GROUP BY ALL
    HAVING sum(amount) <> 0
"""

_DOCUMENTS = """
    CREATE TEMP TABLE documents_{state} AS
    SELECT 'billing_line' AS source, erp_id AS id, legal_entity, key, credits_key, net_amount AS amount,
           invoice_number, coalesce(invoice_state = 'cancelled', false) AS cancelled, posted AS invoiced
    FROM {state}.erp_billing_lines
    UNION ALL
    SELECT 'cost_entry', erp_id, legal_entity, key, NULL, amount, NULL, coalesce(entry_state = 'cancelled', false),
           false
    FROM {state}.erp_cost_entries
    UNION ALL
    SELECT 'revenue_entry', erp_id, legal_entity, key, NULL, amount, NULL, coalesce(entry_state = 'cancelled', false),
           false
    FROM {state}.erp_revenue_entries
"""

# What is decided about each object, and from what. The cost of time stands with the approved entries.
_WORK = """
    CREATE TEMP TABLE work_{state} AS
    SELECT
        decided.*, contracts.content, time.cost_amount, time.cost_currency, time.fx_rate_id, bill_rates.per_hour,
        cost_rates.per_hour AS cost_per_hour
    FROM (
        SELECT
            object_id,
            any_value(kind) AS kind,
            any_value(employee_id) AS employee_id,
            any_value(project_id) AS project_id,
            any_value(contract_id) AS contract_id,
            max(revision) AS revision,
            bool_or(outcome = 'hold') AS held,
            sum(bill_amount) AS bill_amount,
            list(struct_pack(o := outcome, m := minutes, a := amount, b := bill_amount) ORDER BY part) AS parts
        FROM {state}.decided_work
        GROUP BY object_id
    ) AS decided
    LEFT JOIN {state}.contracts AS contracts ON contracts.id = decided.contract_id
    LEFT JOIN {state}.approved_time AS time ON time.entry_id = decided.object_id
    LEFT JOIN {state}.bill_rates AS bill_rates ON bill_rates.id = time.bill_rate_id
    LEFT JOIN {state}.cost_rates AS cost_rates ON cost_rates.id = time.cost_rate_id
"""

# Objects that are credited or written off in the later state alone, and those whose lines an invoice took with it.
_EVENTS = """
    CREATE TEMP TABLE events AS
    SELECT DISTINCT object_id, 'credit' AS event
    FROM after.credits WHERE id NOT IN (SELECT id FROM before.credits)
    UNION ALL
    SELECT DISTINCT object_id, 'write_off'
    FROM after.adjustments WHERE kind = 'write_off' AND id NOT IN (SELECT id FROM before.adjustments)
    UNION ALL
    SELECT DISTINCT postings.object_id, 'invoice_cancelled'
    FROM documents_after AS lines
    INNER JOIN after.postings AS postings ON postings.key = lines.key
    LEFT JOIN documents_before AS earlier
        ON earlier.source = lines.source AND earlier.id = lines.id AND earlier.legal_entity = lines.legal_entity
    WHERE lines.cancelled AND earlier.cancelled IS NOT true
"""

_CAUSES = """
    CREATE TEMP TABLE causes AS
    WITH known AS (
        SELECT
            deltas.*,
            coalesce(now.key, was.key) AS posting_key,
            coalesce(now.invoice_number, was.invoice_number) AS invoice_number,
            coalesce(now.credits_key, was.credits_key) AS credits_key,
            was.amount AS was_amount,
            now.amount AS now_amount,
            was.id IS NOT NULL AND NOT was.cancelled AS had,
            now.id IS NOT NULL AND NOT now.cancelled AS has,
            coalesce(was.cancelled, false) AS was_cancelled,
            coalesce(now.cancelled, false) AS now_cancelled,
            coalesce(was.invoiced, false) AS was_invoiced,
            coalesce(now.invoiced, false) AS now_invoiced
        FROM deltas
        LEFT JOIN documents_before AS was
            ON was.source = deltas.source AND was.id = deltas.id AND was.legal_entity = deltas.legal_entity
        LEFT JOIN documents_after AS now
            ON now.source = deltas.source AND now.id = deltas.id AND now.legal_entity = deltas.legal_entity
    ),

    ledger AS (
        SELECT key, object_id, state FROM after.postings
        UNION ALL
        SELECT key, object_id, NULL FROM before.postings WHERE key NOT IN (SELECT key FROM after.postings)
    ),

    objects AS (
        SELECT
            known.*,
            ledger.object_id,
            ledger.state AS posting_state,
            coalesce(work.kind, old.kind) IN ('time', 'expense', 'milestone') AS is_fact,
            old.object_id IS NOT NULL AS was_decided,
            work.object_id IS NOT NULL AS is_decided,
            old.revision IS DISTINCT FROM work.revision AS edited,
            old.employee_id IS DISTINCT FROM work.employee_id OR old.project_id IS DISTINCT FROM work.project_id
                AS moved,
            old.contract_id IS DISTINCT FROM work.contract_id OR old.content IS DISTINCT FROM work.content AS amended,
            CASE
                WHEN known.measure = 'cost' THEN
                    old.cost_per_hour IS DISTINCT FROM work.cost_per_hour
                    OR old.fx_rate_id IS DISTINCT FROM work.fx_rate_id
                ELSE
                    old.per_hour IS DISTINCT FROM work.per_hour OR old.fx_rate_id IS DISTINCT FROM work.fx_rate_id
            END AS rated,
            coalesce(old.held, false) AS was_held,
            coalesce(work.held, false) AS is_held,
            old.employee_id IS NOT DISTINCT FROM work.employee_id
                AND old.project_id IS NOT DISTINCT FROM work.project_id
                AND old.contract_id IS NOT DISTINCT FROM work.contract_id
                AND (
                    (
                        known.measure = 'cost'
                        AND old.cost_amount IS NOT DISTINCT FROM work.cost_amount
                        AND old.cost_currency IS NOT DISTINCT FROM work.cost_currency
                    )
                    OR (known.measure <> 'cost' AND old.parts IS NOT DISTINCT FROM work.parts)
                ) AS same,
            EXISTS (SELECT 1 FROM events WHERE events.object_id = ledger.object_id AND event = 'credit') AS credited,
            EXISTS (SELECT 1 FROM events WHERE events.object_id = ledger.object_id AND event = 'write_off')
                AS written_off,
            EXISTS (SELECT 1 FROM events WHERE events.object_id = ledger.object_id AND event = 'invoice_cancelled')
                AS lost_its_invoice
        FROM known
        LEFT JOIN ledger ON ledger.key = known.posting_key
        LEFT JOIN work_before AS old ON old.object_id = ledger.object_id
        LEFT JOIN work_after AS work ON work.object_id = ledger.object_id
    ),

    work_causes AS (
        SELECT
            *,
            CASE
                WHEN object_id IS NULL THEN NULL
                WHEN credited THEN 'credit'
                WHEN is_fact AND NOT was_decided AND is_decided THEN 'new_approval'
                WHEN is_fact AND was_decided AND NOT is_decided THEN 'approval_withdrawn'
                WHEN is_fact AND edited THEN 'edit'
                WHEN lost_its_invoice AND same THEN 'invoice_cancelled'
                WHEN same AND is_decided THEN 'reached_erp'
                WHEN moved THEN 'mapping_change'
                WHEN written_off THEN 'write_off'
                WHEN amended THEN 'contract_amendment'
                WHEN rated THEN 'rate_change'
                WHEN was_held AND NOT is_held THEN 'hold_cleared'
                WHEN is_held AND NOT was_held THEN 'held'
            END AS work_cause
        FROM objects
    ),

    documents AS (
        SELECT
            *,
            CASE
                WHEN role = 'invoice' AND now_cancelled THEN 'invoice_cancelled'
                WHEN role = 'invoice' AND now_invoiced AND NOT was_invoiced THEN 'invoice_posted'
                WHEN posting_key IS NULL AND credits_key IS NOT NULL THEN 'credit'
                WHEN posting_key IS NULL THEN 'manual_change'
                WHEN had AND has AND was_amount <> now_amount THEN 'manual_change'
                WHEN role = 'invoice' AND was_invoiced AND NOT now_invoiced THEN 'invoice_cancelled'
                WHEN had AND has AND work_cause IN ('mapping_change', 'contract_amendment', 'edit') THEN work_cause
                WHEN had AND has AND NOT moved AND NOT amended AND is_decided THEN 'rate_change'
                WHEN had AND NOT has AND now_cancelled THEN 'invoice_cancelled'
                WHEN had AND NOT has AND posting_state NOT IN ('withdrawn', 'reversed', 'cancelled')
                    THEN 'manual_change'
                ELSE work_cause
            END AS own_cause
        FROM work_causes
    ),

    contracts AS (
        SELECT
            contract_id,
            count(DISTINCT own_cause) AS number,
            any_value(own_cause) AS the_cause,
            bool_or(amended) AS amended
        FROM documents
        WHERE role = 'document' AND contract_id IS NOT NULL AND is_fact
        GROUP BY contract_id
    )

    SELECT
        documents.*,
        CASE
            WHEN own_cause IS NOT NULL THEN own_cause
            WHEN documents.amended AND was_decided AND is_decided THEN 'contract_amendment'
            WHEN contracts.number = 1 THEN contracts.the_cause
            WHEN contracts.number > 1 THEN 'several'
            ELSE 'unattributed'
        END AS cause
    FROM documents
    LEFT JOIN contracts ON contracts.contract_id = documents.contract_id
"""

# Lines that somebody has put on another project or customer, say, whose amount is still the same.
_SILENT = """
    SELECT 'billed' AS measure, items.legal_entity, items.contract_id, items.service_month AS month, entities.currency,
           'manual_change' AS cause, 0 AS amount, items.entry_id AS item
    FROM after.reconciliation AS items
    INNER JOIN after.legal_entities AS entities ON entities.code = items.legal_entity
    WHERE items.difference = 'manual_change'
        AND items.entry_id NOT IN (SELECT entry_id FROM before.reconciliation WHERE difference = 'manual_change')
        AND items.entry_id NOT IN (SELECT coalesce(object_id, id) FROM causes WHERE measure = 'billed')
        AND ($legal_entity IS NULL OR items.legal_entity = $legal_entity)
        AND ($contract_id IS NULL OR items.contract_id = $contract_id)
        AND ($measure IS NULL OR $measure = 'billed')
"""

_PARTS = f"""
    SELECT measure, legal_entity, contract_id, month, currency, cause, sum(amount) AS amount,
           count(DISTINCT item) AS items, list(DISTINCT item ORDER BY item)[:$shown] AS ids
    FROM (
        SELECT measure, legal_entity, contract_id, month, currency, cause, amount, CASE
            WHEN cause IN ('invoice_posted', 'invoice_cancelled') THEN coalesce(invoice_number, object_id, id)
            ELSE coalesce(object_id, id)
        END AS item
        FROM causes
        UNION ALL
        {_SILENT}
    )
    WHERE $month IS NULL OR month = $month
    GROUP BY measure, legal_entity, contract_id, month, currency, cause
"""

_WHOLES = f"""
    SELECT measure, legal_entity, contract_id, month, currency,
           coalesce(sum(amount) FILTER (WHERE state = 'before'), 0) AS before,
           coalesce(sum(amount) FILTER (WHERE state = 'after'), 0) AS after
    FROM (
        SELECT 'before' AS state, * FROM ({_TOTALS.format(state="before")})
        UNION ALL
        SELECT 'after' AS state, * FROM ({_TOTALS.format(state="after")})
    )
    WHERE ($legal_entity IS NULL OR legal_entity = $legal_entity)
        AND ($contract_id IS NULL OR contract_id = $contract_id)
        AND ($measure IS NULL OR measure = $measure)
        AND ($month IS NULL OR month = $month)
    GROUP BY measure, legal_entity, contract_id, month, currency
    ORDER BY ALL
"""


def wholes_and_parts(
    connection: duckdb.DuckDBPyConnection, wanted: dict[str, str | None]
) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
    """Each measure in both states, and the parts of the differences by cause: measure, place, amounts.

    `connection` is one of `Lake.between`. `wanted` has legal_entity, contract_id, measure and month, None for every
    one. Raises duckdb.Error where a state lacks a table or a column.
    """
    place = {name: wanted[name] for name in ("legal_entity", "contract_id", "measure")}
    connection.execute(_DELTAS, place)
    for state in STATES:
        connection.execute(_DOCUMENTS.format(state=state))
        connection.execute(_WORK.format(state=state))
    connection.execute(_EVENTS)
    connection.execute(_CAUSES)
    parts = _rows(connection, _PARTS, {**wanted, "shown": SHOWN_IDS})
    return _rows(connection, _WHOLES, wanted), parts


def _rows(
    connection: duckdb.DuckDBPyConnection, statement: str, parameters: dict[str, Any]
) -> Sequence[dict[str, Any]]:
    cursor = connection.execute(statement, parameters)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
