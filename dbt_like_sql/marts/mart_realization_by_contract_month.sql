WITH facts AS (
    SELECT
        legal_entity,
        contract_id,
        service_month,
        minutes AS worked_minutes,
        CASE WHEN recorded_as_billable THEN minutes ELSE 0 END AS billable_minutes,
        0 AS billed_minutes,
        CASE WHEN recorded_as_billable THEN coalesce(standard_entity_amount, 0) ELSE 0 END AS standard_amount,
        0 AS billed_amount,
        0 AS revenue_amount,
        CASE WHEN recorded_as_billable AND standard_entity_amount IS NULL THEN minutes ELSE 0 END AS minutes_without_value
    FROM fct_approved_work
    WHERE kind = 'time'
    UNION ALL
    SELECT
        legal_entity,
        contract_id,
        service_month,
        0 AS worked_minutes,
        0 AS billable_minutes,
        minutes AS billed_minutes,
        0 AS standard_amount,
        entity_amount AS billed_amount,
        0 AS revenue_amount,
        0 AS minutes_without_value
    FROM fct_billing
    WHERE kind = 'time'
    UNION ALL
    SELECT
        legal_entity,
        contract_id,
        service_month,
        0 AS worked_minutes,
        0 AS billable_minutes,
        0 AS billed_minutes,
        0 AS standard_amount,
        0 AS billed_amount,
        entity_amount AS revenue_amount,
        0 AS minutes_without_value
    FROM fct_revenue
),

totals AS (
    SELECT
        legal_entity,
        contract_id,
        service_month,
        CAST(sum(worked_minutes) AS BIGINT) AS worked_minutes,
        CAST(sum(billable_minutes) AS BIGINT) AS billable_minutes,
        CAST(sum(billed_minutes) AS BIGINT) AS billed_minutes,
        CAST(sum(standard_amount) AS DECIMAL(18, 4)) AS standard_amount,
        CAST(sum(billed_amount) AS DECIMAL(18, 4)) AS billed_amount,
        CAST(sum(revenue_amount) AS DECIMAL(18, 4)) AS revenue_amount,
        CAST(sum(minutes_without_value) AS BIGINT) AS minutes_without_value
    FROM facts
    GROUP BY legal_entity, contract_id, service_month
)

SELECT
    totals.legal_entity,
    totals.contract_id,
    totals.service_month,
    entities.currency,
    totals.worked_minutes,
    totals.billable_minutes,
    totals.billed_minutes,
    totals.standard_amount,
    totals.billed_amount,
    totals.revenue_amount,
    totals.minutes_without_value,
    share(totals.billed_minutes, totals.billable_minutes) AS hours_realization,
    share(totals.billed_amount, totals.standard_amount) AS value_realization,
    CAST(share(totals.revenue_amount * 60, totals.worked_minutes) AS DECIMAL(18, 4)) AS effective_rate
FROM totals
LEFT JOIN stg_legal_entities AS entities ON entities.legal_entity = totals.legal_entity
