WITH books AS (
    SELECT
        legal_entity,
        max(ledger_month) AS as_of_month,
        sum(posted_amount) FILTER (WHERE role = 'receivable') AS amount
    FROM stg_account_balances
    GROUP BY legal_entity
),

unpaid AS (
    SELECT
        legal_entity,
        sum(open_entity_amount) AS amount,
        sum(CASE WHEN currency = entity_currency THEN 0 ELSE 1 END) AS converted_invoices
    FROM fct_invoice
    WHERE posted
    GROUP BY legal_entity
)

SELECT
    entities.legal_entity,
    books.as_of_month,
    entities.currency,
    CAST(coalesce(unpaid.amount, 0) AS DECIMAL(18, 4)) AS open_amount,
    CAST(coalesce(books.amount, 0) AS DECIMAL(18, 4)) AS ledger_amount,
    CAST(coalesce(unpaid.amount, 0) - coalesce(books.amount, 0) AS DECIMAL(18, 4)) AS difference_amount,
    CAST(coalesce(unpaid.converted_invoices, 0) * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 4)) AS tolerance_amount
FROM stg_legal_entities AS entities
INNER JOIN books ON books.legal_entity = entities.legal_entity
LEFT JOIN unpaid ON unpaid.legal_entity = entities.legal_entity
