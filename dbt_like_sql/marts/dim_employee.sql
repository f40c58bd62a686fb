SELECT
    employee_id,
    employee_name,
    legal_entity,
    department AS practice,
    grade
FROM stg_employees
