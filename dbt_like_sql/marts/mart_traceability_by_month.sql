WITH billed AS (
    SELECT DISTINCT object_id
    FROM int_billed_objects
),

paid_for AS (
    SELECT contract_id
    FROM mart_contracts_paid_for
),

parts AS (
    SELECT
        work.legal_entity,
        work.service_month,
        work.minutes,
        CASE
            WHEN work.outcome = 'post' AND billed.object_id IS NOT NULL THEN 'billed'
            WHEN work.outcome = 'covered' AND paid_for.contract_id IS NOT NULL THEN 'covered'
            WHEN work.outcome IN ('written_off', 'hold') AND work.reason IS NOT NULL THEN 'reasoned'
            ELSE 'untraced'
        END AS trace
    FROM stg_decided_work AS work
    LEFT JOIN billed ON billed.object_id = work.object_id
    LEFT JOIN paid_for ON paid_for.contract_id = work.contract_id
    WHERE work.kind = 'time' AND work.outcome IN ('post', 'covered', 'written_off', 'hold')
),

minutes AS (
    SELECT
        legal_entity,
        service_month,
        CAST(sum(minutes) AS BIGINT) AS billable_minutes,
        CAST(coalesce(sum(minutes) FILTER (WHERE trace = 'billed'), 0) AS BIGINT) AS billed_minutes,
        CAST(coalesce(sum(minutes) FILTER (WHERE trace = 'covered'), 0) AS BIGINT) AS covered_minutes,
        CAST(coalesce(sum(minutes) FILTER (WHERE trace = 'reasoned'), 0) AS BIGINT) AS reasoned_minutes,
        CAST(coalesce(sum(minutes) FILTER (WHERE trace = 'untraced'), 0) AS BIGINT) AS untraced_minutes
    FROM parts
    GROUP BY legal_entity, service_month
),

revenue AS (
    SELECT
        legal_entity,
        service_month,
        sum(entity_amount) AS revenue_amount,
        coalesce(sum(entity_amount) FILTER (WHERE kind <> 'by_hand'), 0) AS traced_revenue_amount
    FROM fct_revenue
    GROUP BY legal_entity, service_month
)

SELECT
    coalesce(minutes.legal_entity, revenue.legal_entity) AS legal_entity,
    coalesce(minutes.service_month, revenue.service_month) AS service_month,
    entities.currency AS entity_currency,
    coalesce(minutes.billable_minutes, 0) AS billable_minutes,
    coalesce(minutes.billed_minutes, 0) AS billed_minutes,
    coalesce(minutes.covered_minutes, 0) AS covered_minutes,
    coalesce(minutes.reasoned_minutes, 0) AS reasoned_minutes,
    coalesce(minutes.untraced_minutes, 0) AS untraced_minutes,
    share(minutes.billable_minutes - minutes.untraced_minutes, minutes.billable_minutes) AS traceable_fraction,
    share(minutes.billed_minutes + minutes.covered_minutes, minutes.billable_minutes) AS revenue_fraction,
    CAST(coalesce(revenue.revenue_amount, 0) AS DECIMAL(18, 4)) AS revenue_amount,
    CAST(coalesce(revenue.traced_revenue_amount, 0) AS DECIMAL(18, 4)) AS traced_revenue_amount,
    share(revenue.traced_revenue_amount, revenue.revenue_amount) AS traced_revenue_fraction
FROM minutes
FULL JOIN revenue ON revenue.legal_entity = minutes.legal_entity AND revenue.service_month = minutes.service_month
LEFT JOIN stg_legal_entities AS entities
    ON entities.legal_entity = coalesce(minutes.legal_entity, revenue.legal_entity)
