WITH priced AS (
    SELECT
        work.*,
        -- A rate for the employee goes before the project's.
        CASE WHEN own.bill_rate_id IS NULL THEN anybody.per_hour ELSE own.per_hour END AS per_hour,
        coalesce(
            CASE WHEN own.bill_rate_id IS NULL THEN anybody.currency ELSE own.currency END, work.currency
        ) AS standard_currency
    FROM stg_decided_work AS work
    -- Time alone has a rate. As a condition of its own, the kind would have every row compared with every rate.
    LEFT JOIN int_bill_rates AS own
        ON own.project_id = CASE WHEN work.kind = 'time' THEN work.project_id END
        AND own.employee_id = work.employee_id
        AND own.first_day <= work.service_date
        AND own.last_day >= work.service_date
    LEFT JOIN (SELECT * FROM int_bill_rates WHERE employee_id IS NULL) AS anybody
        ON anybody.project_id = CASE WHEN work.kind = 'time' THEN work.project_id END
        AND anybody.first_day <= work.service_date
        AND anybody.last_day >= work.service_date
    WHERE work.kind NOT IN ('revenue', 'loss')
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
