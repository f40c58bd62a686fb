WITH worked AS (
    SELECT
        employee_id,
        service_month,
        sum(minutes) AS approved_minutes,
        sum(CASE WHEN contract_id IS NOT NULL THEN minutes ELSE 0 END) AS client_minutes,
        sum(CASE WHEN outcome IN ('post', 'covered', 'written_off', 'hold') THEN minutes ELSE 0 END) AS billable_minutes
    FROM stg_approved_time
    GROUP BY employee_id, service_month
)

SELECT
    employees.employee_id,
    employees.employee_name,
    employees.legal_entity,
    employees.department,
    capacity.service_month,
    capacity.working_days,
    capacity.capacity_minutes,
    -- No system of record tells of holidays or leave yet, so that what is available is the whole capacity.
    capacity.capacity_minutes AS available_minutes,
    CAST(coalesce(worked.approved_minutes, 0) AS BIGINT) AS approved_minutes,
    CAST(coalesce(worked.client_minutes, 0) AS BIGINT) AS client_minutes,
    CAST(coalesce(worked.billable_minutes, 0) AS BIGINT) AS billable_minutes,
    CAST(share(coalesce(worked.billable_minutes, 0), capacity.capacity_minutes) AS DECIMAL(9, 6)) AS billable_utilization,
    CAST(share(coalesce(worked.client_minutes, 0), capacity.capacity_minutes) AS DECIMAL(9, 6)) AS client_utilization,
    CAST(share(coalesce(worked.approved_minutes, 0), capacity.capacity_minutes) AS DECIMAL(9, 6)) AS total_utilization,
    CAST(share(coalesce(worked.billable_minutes, 0), capacity.capacity_minutes) AS DECIMAL(9, 6)) AS capacity_utilization
FROM stg_employees AS employees
CROSS JOIN int_month_capacity AS capacity
LEFT JOIN worked
    ON worked.employee_id = employees.employee_id AND worked.service_month = capacity.service_month
