SELECT
    id AS bill_rate_id,
    project_id,
    employee_id,
    per_hour,
    currency,
    valid_from,
    valid_to
FROM bill_rates
