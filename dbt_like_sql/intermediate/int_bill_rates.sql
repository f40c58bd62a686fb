-- Rates may overlap. Of each project and person (or everybody), days in a row that have the same rate: the one that
-- began last, of equals the first by its id. Looking up a day then finds one row, however many rates there are.
WITH edges AS (
    SELECT project_id, employee_id, valid_from AS first_day FROM stg_bill_rates WHERE valid_from IS NOT NULL
    UNION
    SELECT project_id, employee_id, valid_to + 1 AS first_day FROM stg_bill_rates WHERE valid_to IS NOT NULL
),

stretches AS (
    SELECT
        project_id,
        employee_id,
        first_day,
        coalesce(
            lead(first_day) OVER (PARTITION BY project_id, employee_id ORDER BY first_day) - 1, DATE '9999-12-31'
        ) AS last_day
    FROM edges
)

SELECT
    stretches.project_id,
    stretches.employee_id,
    stretches.first_day,
    stretches.last_day,
    rates.bill_rate_id,
    rates.per_hour,
    rates.currency
FROM stretches
INNER JOIN stg_bill_rates AS rates
    ON rates.project_id = stretches.project_id
    AND rates.employee_id IS NOT DISTINCT FROM stretches.employee_id
    AND rates.valid_from <= stretches.first_day
    AND (rates.valid_to IS NULL OR rates.valid_to >= stretches.first_day)
QUALIFY row_number() OVER (
    PARTITION BY stretches.project_id, stretches.employee_id, stretches.first_day
    ORDER BY rates.valid_from DESC, rates.bill_rate_id
) = 1
