WITH movements AS (
    SELECT
        legal_entity,
        entity_currency,
        group_currency,
        invoice_month AS receivable_month,
        total_entity_amount AS invoiced,
        total_group_amount AS group_change,
        CAST(0 AS DECIMAL(18, 4)) AS paid,
        CAST(0 AS DECIMAL(18, 4)) AS settled,
        0 AS payments,
        CAST(0 AS DECIMAL(18, 4)) AS days_weighted
    FROM fct_invoice
    WHERE posted AND invoice_date IS NOT NULL
    UNION ALL
    SELECT
        legal_entity,
        entity_currency,
        group_currency,
        -- What has no date of its own counts from the invoice on.
        coalesce(payment_month, invoice_month) AS receivable_month,
        0,
        -group_amount,
        CASE WHEN paid_on IS NOT NULL THEN entity_amount ELSE 0 END,
        CASE WHEN paid_on IS NULL THEN entity_amount ELSE 0 END,
        CASE WHEN paid_on IS NOT NULL THEN 1 ELSE 0 END,
        CASE WHEN paid_on IS NOT NULL THEN entity_amount * days_to_pay ELSE 0 END
    FROM fct_payment
    WHERE invoice_date IS NOT NULL
),

bounds AS (
    SELECT
        legal_entity,
        entity_currency,
        group_currency,
        min(receivable_month) AS first_month,
        max(receivable_month) AS last_month
    FROM movements
    GROUP BY legal_entity, entity_currency, group_currency
),

months AS (
    SELECT
        legal_entity,
        entity_currency,
        group_currency,
        strftime(
            unnest(generate_series(
                CAST(first_month || '-01' AS TIMESTAMP), CAST(last_month || '-01' AS TIMESTAMP), INTERVAL 1 MONTH
            )),
            '%Y-%m'
        ) AS receivable_month
    FROM bounds
),

sums AS (
    SELECT
        months.legal_entity,
        months.receivable_month,
        months.entity_currency,
        months.group_currency,
        coalesce(sum(movements.invoiced), 0) AS invoiced,
        coalesce(sum(movements.paid), 0) AS paid,
        coalesce(sum(movements.settled), 0) AS settled,
        coalesce(sum(movements.group_change), 0) AS group_change,
        coalesce(sum(movements.payments), 0) AS payments,
        coalesce(sum(movements.days_weighted), 0) AS days_weighted
    FROM months
    LEFT JOIN movements
        ON movements.legal_entity = months.legal_entity
        AND movements.receivable_month = months.receivable_month
    GROUP BY months.legal_entity, months.receivable_month, months.entity_currency, months.group_currency
),

running AS (
    SELECT
        *,
        sum(invoiced - paid - settled) OVER so_far AS closing,
        sum(group_change) OVER so_far AS group_closing,
        sum(invoiced) OVER (
            PARTITION BY legal_entity ORDER BY receivable_month ROWS BETWEEN 11 PRECEDING AND CURRENT ROW
        ) AS sales_of_year,
        sum(invoiced) OVER (
            PARTITION BY legal_entity ORDER BY receivable_month ROWS BETWEEN 2 PRECEDING AND CURRENT ROW
        ) AS sales_of_quarter
    FROM sums
    WINDOW so_far AS (PARTITION BY legal_entity ORDER BY receivable_month)
)

SELECT
    legal_entity,
    receivable_month,
    entity_currency,
    group_currency,
    CAST(closing - invoiced + paid + settled AS DECIMAL(18, 4)) AS opening_amount,
    CAST(invoiced AS DECIMAL(18, 4)) AS invoiced_amount,
    CAST(paid AS DECIMAL(18, 4)) AS paid_amount,
    CAST(settled AS DECIMAL(18, 4)) AS settled_amount,
    CAST(closing AS DECIMAL(18, 4)) AS closing_amount,
    CAST(group_closing AS DECIMAL(18, 4)) AS group_closing_amount,
    CAST(payments AS BIGINT) AS payments,
    CAST(share(days_weighted, paid) AS DECIMAL(18, 2)) AS days_to_pay,
    CAST(share(closing * 365, sales_of_year) AS DECIMAL(18, 2)) AS dso_year,
    CAST(share(closing * 90, sales_of_quarter) AS DECIMAL(18, 2)) AS dso_quarter
FROM running
