WITH facts AS (
    SELECT
        lines.legal_entity,
        lines.project_id,
        lines.service_month,
        lines.minutes AS billed_minutes,
        CASE
            WHEN lines.currency = lines.entity_currency THEN lines.net_amount
            ELSE lines.net_amount * rates.rate
        END AS billed_amount,
        0 AS cost_amount
    FROM int_billing_by_project_line AS lines
    LEFT JOIN int_conversion_rates AS rates
        ON rates.from_currency = lines.currency
        AND rates.to_currency = lines.entity_currency
        AND rates.service_date = lines.service_date
    UNION ALL
    SELECT
        entries.legal_entity,
        projects.project_id,
        entries.service_month,
        0 AS billed_minutes,
        0 AS billed_amount,
        entries.cost_amount
    FROM stg_cost_entries AS entries
    LEFT JOIN stg_projects AS projects ON projects.project_code = entries.project_code
),

totals AS (
    SELECT
        legal_entity,
        project_id,
        service_month,
        sum(billed_minutes) AS billed_minutes,
        sum(billed_amount) AS billed_amount,
        sum(cost_amount) AS cost_amount,
        count(*) FILTER (WHERE billed_amount IS NULL) AS lines_without_rate
    FROM facts
    GROUP BY legal_entity, project_id, service_month
)

SELECT
    totals.legal_entity,
    totals.project_id,
    projects.project_code,
    projects.project_name,
    projects.contract_id,
    totals.service_month,
    entities.currency,
    CAST(totals.billed_minutes AS BIGINT) AS billed_minutes,
    CAST(totals.billed_amount AS DECIMAL(18, 4)) AS billed_amount,
    CAST(totals.cost_amount AS DECIMAL(18, 4)) AS cost_amount,
    CAST(totals.billed_amount - totals.cost_amount AS DECIMAL(18, 4)) AS margin_amount,
    share(totals.billed_amount - totals.cost_amount, totals.billed_amount) AS margin_fraction,
    totals.lines_without_rate
FROM totals
LEFT JOIN stg_projects AS projects ON projects.project_id = totals.project_id
LEFT JOIN stg_legal_entities AS entities ON entities.legal_entity = totals.legal_entity
