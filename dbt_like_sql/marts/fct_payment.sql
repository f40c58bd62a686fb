WITH payments AS (
    SELECT payment_id, payment_number, legal_entity, invoice_id, paid_on, amount FROM stg_payments
    UNION ALL
    -- What else has been settled: an entry that somebody has set off by hand. The ERP does not tell it as a payment.
    SELECT
        'other' AS payment_id,
        CAST(NULL AS VARCHAR) AS payment_number,
        invoices.legal_entity,
        invoices.invoice_id,
        CAST(NULL AS DATE) AS paid_on,
        CAST(invoices.total_amount - invoices.open_amount - coalesce(paid.amount, 0) AS DECIMAL(18, 4)) AS amount
    FROM fct_invoice AS invoices
    LEFT JOIN (
        SELECT legal_entity, invoice_id, sum(amount) AS amount FROM stg_payments GROUP BY legal_entity, invoice_id
    ) AS paid ON paid.legal_entity = invoices.legal_entity AND paid.invoice_id = invoices.invoice_id
    WHERE invoices.posted AND invoices.total_amount - invoices.open_amount <> coalesce(paid.amount, 0)
)

SELECT
    payments.payment_id,
    payments.payment_number,
    payments.legal_entity,
    payments.invoice_id,
    invoices.invoice_number,
    invoices.customer_id,
    invoices.invoice_date,
    invoices.invoice_month,
    payments.paid_on,
    strftime(payments.paid_on, '%Y-%m') AS payment_month,
    CAST(payments.paid_on - invoices.invoice_date AS BIGINT) AS days_to_pay,
    payments.amount,
    invoices.currency,
    invoices.entity_currency,
    invoices.group_currency,
    CAST(payments.amount * rates.to_entity AS DECIMAL(18, 4)) AS entity_amount,
    CAST(CAST(payments.amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group AS DECIMAL(18, 4)) AS group_amount
FROM payments
INNER JOIN fct_invoice AS invoices
    ON invoices.legal_entity = payments.legal_entity
    AND invoices.invoice_id = payments.invoice_id
    AND invoices.posted
LEFT JOIN int_rates_of_amounts AS rates
    ON rates.legal_entity = invoices.legal_entity
    AND rates.currency = invoices.currency
    AND rates.rate_date = invoices.invoice_date
