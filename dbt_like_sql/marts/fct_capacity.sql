SELECT
    employees.employee_id,
    employees.legal_entity,
    capacity.service_month,
    capacity.working_days,
    capacity.capacity_minutes
FROM stg_employees AS employees
CROSS JOIN int_month_capacity AS capacity
