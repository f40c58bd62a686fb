SELECT
    id AS employee_id,
    name AS employee_name,
    legal_entity,
    department,
    time_zone,
    role AS grade
FROM employees
