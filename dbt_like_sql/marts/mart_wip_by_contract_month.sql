WITH movements AS (
    -- Summed up by month before anything else: the facts are many, contracts and their months few.
    SELECT
        legal_entity, contract_id, service_month AS movement_month, entity_currency, group_currency,
        sum(entity_amount) AS earned, 0 AS billed, sum(group_amount) AS group_earned, 0 AS group_billed
    FROM fct_revenue
    GROUP BY ALL
    UNION ALL
    -- Both sides of a line at the rate of its service date, so that exchange differences are no work in progress.
    SELECT
        legal_entity, contract_id, strftime(invoice_date, '%Y-%m') AS movement_month, entity_currency, group_currency,
        0 AS earned, sum(entity_amount) AS billed, 0 AS group_earned, sum(group_amount) AS group_billed
    FROM fct_billing
    WHERE invoiced AND invoice_date IS NOT NULL
    GROUP BY ALL
),

spans AS (
    SELECT
        legal_entity,
        contract_id,
        entity_currency,
        group_currency,
        min(movement_month) AS first_month
    FROM movements
    GROUP BY legal_entity, contract_id, entity_currency, group_currency
),

last AS (
    SELECT max(movement_month) AS last_month FROM movements
),

months AS (
    SELECT
        spans.*,
        strftime(unnest(range(
            CAST(spans.first_month || '-01' AS TIMESTAMP),
            CAST(last.last_month || '-01' AS TIMESTAMP) + INTERVAL 1 MONTH,
            INTERVAL 1 MONTH
        )), '%Y-%m') AS service_month
    FROM spans
    CROSS JOIN last
),

moved AS (
    SELECT
        months.legal_entity,
        months.contract_id,
        months.service_month,
        months.entity_currency,
        months.group_currency,
        coalesce(sum(movements.earned), 0) AS earned,
        coalesce(sum(movements.billed), 0) AS billed,
        coalesce(sum(movements.group_earned), 0) AS group_earned,
        coalesce(sum(movements.group_billed), 0) AS group_billed
    FROM months
    LEFT JOIN movements
        ON movements.legal_entity = months.legal_entity
        AND movements.contract_id IS NOT DISTINCT FROM months.contract_id
        AND movements.movement_month = months.service_month
    GROUP BY ALL
),

rolled AS (
    SELECT
        *,
        sum(earned - billed) OVER each_contract AS closing,
        sum(group_earned - group_billed) OVER each_contract AS group_closing
    FROM moved
    WINDOW each_contract AS (PARTITION BY legal_entity, contract_id ORDER BY service_month)
)

SELECT
    legal_entity,
    contract_id,
    service_month,
    entity_currency,
    group_currency,
    CAST(closing - (earned - billed) AS DECIMAL(18, 4)) AS opening_amount,
    CAST(earned AS DECIMAL(18, 4)) AS earned_amount,
    CAST(billed AS DECIMAL(18, 4)) AS billed_amount,
    CAST(closing AS DECIMAL(18, 4)) AS closing_amount,
    CAST(greatest(closing, 0) AS DECIMAL(18, 4)) AS wip_amount,
    CAST(greatest(-closing, 0) AS DECIMAL(18, 4)) AS deferred_amount,
    CAST(group_closing - (group_earned - group_billed) AS DECIMAL(18, 4)) AS group_opening_amount,
    CAST(group_earned AS DECIMAL(18, 4)) AS group_earned_amount,
    CAST(group_billed AS DECIMAL(18, 4)) AS group_billed_amount,
    CAST(group_closing AS DECIMAL(18, 4)) AS group_closing_amount
FROM rolled
