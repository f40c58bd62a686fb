WITH worked AS (
    SELECT
        employee_id,
        service_month,
        sum(minutes) AS approved_minutes,
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
    CAST(coalesce(worked.approved_minutes, 0) AS BIGINT) AS approved_minutes,
    CAST(coalesce(worked.billable_minutes, 0) AS BIGINT) AS billable_minutes,
    CAST(coalesce(worked.billable_minutes, 0) / capacity.capacity_minutes AS DECIMAL(9, 6)) AS billable_utilization
FROM stg_employees AS employees
CROSS JOIN int_month_capacity AS capacity
LEFT JOIN worked
    ON worked.employee_id = employees.employee_id AND worked.service_month = capacity.service_month
