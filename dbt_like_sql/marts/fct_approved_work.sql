WITH priced AS (
    SELECT
        work.*,
        CASE WHEN work.kind = 'time' THEN bill_rates.per_hour END AS per_hour,
        coalesce(CASE WHEN work.kind = 'time' THEN bill_rates.currency END, work.currency) AS standard_currency
    FROM stg_decided_work AS work
    LEFT JOIN stg_bill_rates AS bill_rates
        ON bill_rates.project_id = work.project_id
        AND (bill_rates.employee_id IS NULL OR bill_rates.employee_id = work.employee_id)
        AND bill_rates.valid_from <= work.service_date
        AND (bill_rates.valid_to IS NULL OR bill_rates.valid_to >= work.service_date)
    WHERE work.kind NOT IN ('revenue', 'loss')
    QUALIFY row_number() OVER (
        PARTITION BY work.service_month, work.object_id, work.part
        -- A rate for the employee goes before the project's.
        ORDER BY bill_rates.employee_id IS NULL, bill_rates.valid_from DESC, bill_rates.bill_rate_id
    ) = 1
),

valued AS (
    SELECT
        *,
        CASE
            WHEN per_hour IS NOT NULL THEN CAST(share(per_hour * minutes, 60) AS DECIMAL(18, 4))
            ELSE amount
        END AS standard_amount
    FROM priced
)

SELECT
    valued.object_id,
    valued.part,
    valued.kind,
    valued.legal_entity,
    valued.service_month,
    valued.service_date,
    valued.employee_id,
    valued.project_id,
    valued.contract_id,
    contracts.customer_id,
    valued.component,
    valued.outcome,
    valued.reason,
    valued.minutes,
    valued.recorded_as_billable,
    valued.bill_amount,
    valued.standard_amount,
    valued.standard_currency AS currency,
    rates.entity_currency,
    rates.group_currency,
    CAST(valued.standard_amount * rates.to_entity AS DECIMAL(18, 4)) AS standard_entity_amount,
    CAST(CAST(valued.standard_amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group AS DECIMAL(18, 4)) AS standard_group_amount
FROM valued
LEFT JOIN stg_contracts AS contracts ON contracts.contract_id = valued.contract_id
LEFT JOIN int_rates_of_amounts AS rates
    ON rates.legal_entity = valued.legal_entity
    AND rates.currency = valued.standard_currency
    AND rates.rate_date = valued.service_date
