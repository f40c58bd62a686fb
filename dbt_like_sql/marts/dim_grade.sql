SELECT DISTINCT grade
FROM stg_employees
WHERE grade IS NOT NULL
