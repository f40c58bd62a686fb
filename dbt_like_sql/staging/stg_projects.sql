SELECT
    id AS project_id,
    code AS project_code,
    name AS project_name,
    contract_id,
    closed
FROM projects
