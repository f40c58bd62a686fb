SELECT
    erp_id AS cost_entry_id,
    key AS posting_key,
    legal_entity,
    service_month,
    service_date,
    project_code,
    minutes,
    amount AS cost_amount,
    currency,
    entry_number,
    entry_state,
    posted
FROM erp_cost_entries
