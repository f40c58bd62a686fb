WITH posted AS (
    SELECT * FROM fct_invoice WHERE posted AND invoice_date IS NOT NULL
),

sums AS (
    SELECT
        legal_entity,
        entity_currency,
        group_currency,
        max(invoice_month) AS as_of_month,
        sum(open_entity_amount) AS receivables,
        sum(open_group_amount) AS group_receivables
    FROM posted
    GROUP BY legal_entity, entity_currency, group_currency
),

months AS (
    SELECT
        sums.legal_entity,
        sums.receivables,
        ages.age,
        coalesce(sum(posted.total_entity_amount), 0) AS sales
    FROM sums
    CROSS JOIN (SELECT unnest(range(0, 36)) AS age) AS ages
    LEFT JOIN posted
        ON posted.legal_entity = sums.legal_entity
        AND posted.invoice_month
        = strftime(CAST(sums.as_of_month || '-01' AS DATE) - to_months(CAST(ages.age AS INTEGER)), '%Y-%m')
    GROUP BY sums.legal_entity, sums.receivables, ages.age
),

counted AS (
    SELECT
        legal_entity,
        age,
        receivables,
        sales,
        receivables - coalesce(sum(sales) OVER (
            PARTITION BY legal_entity ORDER BY age ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS left_before
    FROM months
),

days AS (
    SELECT
        legal_entity,
        sum(CASE
            WHEN left_before <= 0 THEN 0
            WHEN left_before >= sales THEN 30
            ELSE share(left_before * 30, sales)
        END) AS days,
        -- Months further back would be needed.
        max(CASE WHEN age = 35 AND left_before > sales THEN 1 ELSE 0 END) AS beyond,
        sum(CASE WHEN age < 12 THEN sales ELSE 0 END) AS sales_of_year,
        sum(CASE WHEN age < 3 THEN sales ELSE 0 END) AS sales_of_quarter
    FROM counted
    GROUP BY legal_entity
)

SELECT
    sums.legal_entity,
    sums.as_of_month,
    sums.entity_currency,
    sums.group_currency,
    CAST(sums.receivables AS DECIMAL(18, 4)) AS receivable_amount,
    CAST(sums.group_receivables AS DECIMAL(18, 4)) AS group_receivable_amount,
    CAST(days.sales_of_year AS DECIMAL(18, 4)) AS sales_of_year,
    CAST(days.sales_of_quarter AS DECIMAL(18, 4)) AS sales_of_quarter,
    CAST(share(sums.receivables * 365, days.sales_of_year) AS DECIMAL(18, 2)) AS dso_year,
    CAST(share(sums.receivables * 90, days.sales_of_quarter) AS DECIMAL(18, 2)) AS dso_quarter,
    CAST(CASE WHEN days.beyond = 0 THEN days.days END AS DECIMAL(18, 2)) AS dso_count_back
FROM sums
LEFT JOIN days ON days.legal_entity = sums.legal_entity
