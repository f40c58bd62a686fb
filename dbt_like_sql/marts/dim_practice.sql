SELECT DISTINCT department AS practice
FROM stg_employees
