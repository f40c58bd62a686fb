SELECT
    projects.project_id,
    projects.project_code,
    projects.project_name,
    projects.contract_id,
    contracts.customer_id,
    projects.closed
FROM stg_projects AS projects
LEFT JOIN stg_contracts AS contracts ON contracts.contract_id = projects.contract_id
