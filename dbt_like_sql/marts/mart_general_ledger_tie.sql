WITH ours AS (
    SELECT
        entries.legal_entity,
        strftime(entries.service_date, '%Y-%m') AS ledger_month,
        CASE WHEN objects.booked_as = 'loss_provision' THEN 'loss_provision' ELSE 'contract_balance' END AS role,
        CASE WHEN objects.booked_as = 'loss_provision' THEN -entries.amount ELSE entries.amount END AS amount,
        CAST(0 AS BIGINT) AS converted_lines
    FROM stg_revenue_entries AS entries
    LEFT JOIN int_objects AS objects ON objects.posting_key = entries.posting_key
    WHERE entries.posted
    UNION ALL
    -- The books convert an invoice at its own date, whichever date its work has.
    SELECT
        lines.legal_entity,
        strftime(lines.invoice_date, '%Y-%m') AS ledger_month,
        'contract_balance' AS role,
        -CAST(lines.amount * rates.to_entity AS DECIMAL(18, 4)) AS amount,
        CAST(CASE WHEN lines.currency = lines.entity_currency THEN 0 ELSE 1 END AS BIGINT) AS converted_lines
    FROM fct_billing AS lines
    LEFT JOIN int_rates_of_amounts AS rates
        ON rates.legal_entity = lines.legal_entity
        AND rates.currency = lines.currency
        AND rates.rate_date = lines.invoice_date
    WHERE lines.invoiced AND lines.invoice_date IS NOT NULL AND lines.booked_as = 'contract_balance'
),

expected AS (
    SELECT
        legal_entity,
        ledger_month,
        role,
        sum(amount) AS amount,
        sum(converted_lines) AS converted_lines
    FROM ours
    GROUP BY legal_entity, ledger_month, role
),

books AS (
    SELECT
        legal_entity,
        ledger_month,
        role,
        sum(posted_amount) AS amount
    FROM stg_account_balances
    WHERE role IN ('contract_balance', 'loss_provision')
    GROUP BY legal_entity, ledger_month, role
),

read AS (
    SELECT DISTINCT legal_entity, ledger_month FROM stg_account_balances
)

SELECT
    coalesce(expected.legal_entity, books.legal_entity) AS legal_entity,
    coalesce(expected.ledger_month, books.ledger_month) AS ledger_month,
    coalesce(expected.role, books.role) AS role,
    entities.currency,
    CAST(coalesce(expected.amount, 0) AS DECIMAL(18, 4)) AS expected_amount,
    CAST(coalesce(books.amount, 0) AS DECIMAL(18, 4)) AS ledger_amount,
    CAST(coalesce(expected.amount, 0) - coalesce(books.amount, 0) AS DECIMAL(18, 4)) AS difference_amount,
    CAST(coalesce(expected.converted_lines, 0) * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 4)) AS tolerance_amount,
    read.ledger_month IS NOT NULL AS ledger_was_read
FROM expected
FULL JOIN books
    ON books.legal_entity = expected.legal_entity
    AND books.ledger_month = expected.ledger_month
    AND books.role = expected.role
LEFT JOIN stg_legal_entities AS entities
    ON entities.legal_entity = coalesce(expected.legal_entity, books.legal_entity)
LEFT JOIN read
    ON read.legal_entity = coalesce(expected.legal_entity, books.legal_entity)
    AND read.ledger_month = coalesce(expected.ledger_month, books.ledger_month)
