-- Billing lines know the project's code alone; the contract and the books' currency come from it.
SELECT
    lines.billing_line_id,
    lines.legal_entity,
    lines.service_month,
    lines.service_date,
    projects.project_id,
    projects.contract_id,
    lines.minutes,
    lines.net_amount,
    lines.currency,
    lines.invoiced,
    entities.currency AS entity_currency
FROM stg_billing_lines AS lines
LEFT JOIN stg_projects AS projects ON projects.project_code = lines.project_code
LEFT JOIN stg_legal_entities AS entities ON entities.legal_entity = lines.legal_entity
