SELECT
    'billing_line' AS source,
    billing_line_id AS source_id,
    legal_entity,
    service_month,
    service_date,
    kind,
    employee_id,
    project_id,
    contract_id,
    customer_id,
    component,
    amount,
    currency,
    entity_currency,
    group_currency,
    entity_amount,
    group_amount
FROM fct_billing
WHERE booked_as = 'revenue'
UNION ALL
SELECT
    'revenue_entry' AS source,
    entries.revenue_entry_id AS source_id,
    entries.legal_entity,
    entries.service_month,
    entries.service_date,
    coalesce(objects.kind, 'by_hand') AS kind,
    objects.employee_id,
    projects.project_id,
    -- What is on the project that the work has left belongs to that project's contract still.
    CASE
        WHEN coalesce(objects.project_id = projects.project_id, true) THEN coalesce(objects.contract_id, projects.contract_id)
        ELSE projects.contract_id
    END AS contract_id,
    contracts.customer_id,
    CASE WHEN coalesce(objects.project_id = projects.project_id, true) THEN objects.component END AS component,
    entries.amount,
    entries.currency,
    rates.entity_currency,
    rates.group_currency,
    CAST(entries.amount * rates.to_entity AS DECIMAL(18, 4)) AS entity_amount,
    CAST(CAST(entries.amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group AS DECIMAL(18, 4)) AS group_amount
FROM stg_revenue_entries AS entries
LEFT JOIN int_objects AS objects ON objects.posting_key = entries.posting_key
LEFT JOIN stg_projects AS projects ON projects.project_code = entries.project_code
LEFT JOIN stg_contracts AS contracts ON contracts.contract_id = CASE
    WHEN coalesce(objects.project_id = projects.project_id, true) THEN coalesce(objects.contract_id, projects.contract_id)
    ELSE projects.contract_id
END
LEFT JOIN int_rates_of_amounts AS rates
    ON rates.legal_entity = entries.legal_entity
    AND rates.currency = entries.currency
    AND rates.rate_date = entries.service_date
WHERE objects.booked_as IS DISTINCT FROM 'loss_provision'
