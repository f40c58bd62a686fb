SELECT
    lines.billing_line_id,
    lines.legal_entity,
    lines.service_month,
    lines.service_date,
    coalesce(objects.kind, 'by_hand') AS kind,
    coalesce(objects.booked_as, 'revenue') AS booked_as,
    objects.employee_id,
    coalesce(projects.project_id, objects.project_id) AS project_id,
    -- What is on the project that the work has left belongs to that project's contract still.
    CASE
        WHEN coalesce(objects.project_id = projects.project_id, true) THEN coalesce(objects.contract_id, projects.contract_id)
        ELSE projects.contract_id
    END AS contract_id,
    coalesce(contracts.customer_id, lines.party_code) AS customer_id,
    CASE WHEN coalesce(objects.project_id = projects.project_id, true) THEN objects.component END AS component,
    lines.minutes,
    lines.net_amount AS amount,
    lines.currency,
    lines.invoiced,
    lines.invoice_number,
    lines.invoice_date,
    rates.entity_currency,
    rates.group_currency,
    CAST(lines.net_amount * rates.to_entity AS DECIMAL(18, 4)) AS entity_amount,
    CAST(CAST(lines.net_amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group AS DECIMAL(18, 4)) AS group_amount
FROM stg_billing_lines AS lines
-- A credit note of the ERP's own takes back what our line was, on the account of that line.
LEFT JOIN int_objects AS objects ON objects.posting_key = coalesce(lines.posting_key, lines.credits_key)
LEFT JOIN stg_projects AS projects ON projects.project_code = lines.project_code
LEFT JOIN stg_contracts AS contracts ON contracts.contract_id = CASE
    WHEN coalesce(objects.project_id = projects.project_id, true) THEN coalesce(objects.contract_id, projects.contract_id)
    ELSE projects.contract_id
END
LEFT JOIN int_rates_of_amounts AS rates
    ON rates.legal_entity = lines.legal_entity
    AND rates.currency = lines.currency
    AND rates.rate_date = lines.service_date
