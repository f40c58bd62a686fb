WITH lines AS (
    -- The books convert an invoice at its own date, whichever date its work has.
    SELECT
        lines.legal_entity,
        strftime(lines.invoice_date, '%Y-%m') AS ledger_month,
        lines.booked_as AS role,
        -lines.entity_amount AS figure_amount,
        -CAST(lines.amount * rates.to_entity AS DECIMAL(18, 4)) AS amount,
        CAST(CASE WHEN lines.currency = lines.entity_currency THEN 0 ELSE 1 END AS BIGINT) AS converted_lines
    FROM fct_billing AS lines
    LEFT JOIN int_rates_of_amounts AS rates
        ON rates.legal_entity = lines.legal_entity
        AND rates.currency = lines.currency
        AND rates.rate_date = lines.invoice_date
    WHERE lines.invoiced AND lines.invoice_date IS NOT NULL
),

taxes AS (
    SELECT
        invoices.legal_entity,
        strftime(invoices.invoice_date, '%Y-%m') AS ledger_month,
        'tax' AS role,
        -CAST(invoices.tax_amount * rates.to_entity AS DECIMAL(18, 4)) AS figure_amount,
        -CAST(invoices.tax_amount * rates.to_entity AS DECIMAL(18, 4)) AS amount,
        CAST(CASE WHEN invoices.currency = rates.entity_currency THEN 0 ELSE 1 END AS BIGINT) AS converted_lines
    FROM stg_invoices AS invoices
    LEFT JOIN int_rates_of_amounts AS rates
        ON rates.legal_entity = invoices.legal_entity
        AND rates.currency = invoices.currency
        AND rates.rate_date = invoices.invoice_date
    WHERE invoices.invoice_state IN ('posted', 'paid') AND invoices.invoice_date IS NOT NULL
),

entries AS (
    SELECT
        entries.legal_entity,
        strftime(entries.service_date, '%Y-%m') AS ledger_month,
        CASE WHEN objects.booked_as = 'loss_provision' THEN 'loss' ELSE 'recognition' END AS form,
        entries.amount
    FROM stg_revenue_entries AS entries
    LEFT JOIN int_objects AS objects ON objects.posting_key = entries.posting_key
    WHERE entries.posted
    UNION ALL
    SELECT
        legal_entity,
        strftime(service_date, '%Y-%m') AS ledger_month,
        kind AS form,
        amount
    FROM fct_cost
    WHERE source = 'cost_entry' AND posted
    UNION ALL
    SELECT
        legal_entity,
        strftime(service_date, '%Y-%m') AS ledger_month,
        'charge' AS form,
        amount
    FROM stg_intercompany_charges
    WHERE posted
),

-- The two accounts of each form of entry: what it debits, and what it credits.
accounts AS (
    SELECT form, debits, credits
    FROM (
        VALUES
        ('recognition', 'contract_balance', 'revenue'),
        ('loss', 'expected_loss', 'loss_provision'),
        ('labor', 'delivery_cost', 'labor_absorbed'),
        ('intercompany', 'delivery_cost', 'intercompany_payable'),
        ('expense', 'delivery_cost', 'expenses_to_reimburse'),
        ('charge', 'intercompany_receivable', 'labor_charged_out'),
        -- Of an entry by hand only the journal is known.
        ('by_hand', 'delivery_cost', CAST(NULL AS VARCHAR))
    ) AS forms (form, debits, credits)
),

ours AS (
    SELECT * FROM lines
    UNION ALL
    SELECT * FROM taxes
    UNION ALL
    SELECT
        entries.legal_entity,
        entries.ledger_month,
        accounts.debits AS role,
        entries.amount AS figure_amount,
        entries.amount,
        CAST(0 AS BIGINT) AS converted_lines
    FROM entries
    INNER JOIN accounts ON accounts.form = entries.form
    UNION ALL
    SELECT
        entries.legal_entity,
        entries.ledger_month,
        accounts.credits AS role,
        -entries.amount AS figure_amount,
        -entries.amount AS amount,
        CAST(0 AS BIGINT) AS converted_lines
    FROM entries
    INNER JOIN accounts ON accounts.form = entries.form
    WHERE accounts.credits IS NOT NULL
),

expected AS (
    SELECT
        legal_entity,
        ledger_month,
        role,
        sum(figure_amount) AS figure_amount,
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
    WHERE NOT is_opening AND role IS NOT NULL AND role <> 'receivable'
    GROUP BY legal_entity, ledger_month, role
),

read AS (
    SELECT DISTINCT legal_entity, ledger_month FROM stg_account_balances WHERE NOT is_opening
),

compared AS (
    SELECT
        coalesce(expected.legal_entity, books.legal_entity) AS legal_entity,
        coalesce(expected.ledger_month, books.ledger_month) AS ledger_month,
        coalesce(expected.role, books.role) AS role,
        CAST(coalesce(expected.figure_amount, 0) AS DECIMAL(18, 4)) AS figure_amount,
        CAST(coalesce(expected.amount, 0) AS DECIMAL(18, 4)) AS expected_amount,
        CAST(coalesce(books.amount, 0) AS DECIMAL(18, 4)) AS ledger_amount,
        CAST(coalesce(expected.converted_lines, 0) * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 4)) AS tolerance_amount
    FROM expected
    FULL JOIN books
        ON books.legal_entity = expected.legal_entity
        AND books.ledger_month = expected.ledger_month
        AND books.role = expected.role
)

SELECT
    compared.legal_entity,
    compared.ledger_month,
    compared.role,
    entities.currency,
    compared.figure_amount,
    CAST(compared.expected_amount - compared.figure_amount AS DECIMAL(18, 4)) AS fx_amount,
    compared.expected_amount,
    CAST(sum(compared.ledger_amount) OVER of_account - compared.ledger_amount AS DECIMAL(18, 4)) AS opening_amount,
    compared.ledger_amount,
    CAST(sum(compared.ledger_amount) OVER of_account AS DECIMAL(18, 4)) AS closing_amount,
    CAST(compared.expected_amount - compared.ledger_amount AS DECIMAL(18, 4)) AS difference_amount,
    compared.tolerance_amount,
    CASE
        WHEN read.ledger_month IS NULL THEN 'not_read'
        WHEN compared.expected_amount = compared.ledger_amount THEN 'matched'
        WHEN abs(compared.expected_amount - compared.ledger_amount) <= compared.tolerance_amount THEN 'rounding'
        ELSE 'manual_entry'
    END AS difference,
    CASE
        WHEN read.ledger_month IS NULL THEN 'Wait for the next reporting run, which reads the general ledger.'
        WHEN compared.expected_amount = compared.ledger_amount THEN 'Nothing to do.'
        WHEN abs(compared.expected_amount - compared.ledger_amount) <= compared.tolerance_amount
            THEN 'Nothing to do: a cent for a line that the books have converted.'
        ELSE 'List the account''s entries of the month: one was made or changed by hand; correct it, or book it elsewhere.'
    END AS next_step,
    read.ledger_month IS NOT NULL AS ledger_was_read
FROM compared
LEFT JOIN stg_legal_entities AS entities ON entities.legal_entity = compared.legal_entity
LEFT JOIN read
    ON read.legal_entity = compared.legal_entity
    AND read.ledger_month = compared.ledger_month
WINDOW of_account AS (
    PARTITION BY compared.legal_entity, compared.role
    ORDER BY compared.ledger_month
)
