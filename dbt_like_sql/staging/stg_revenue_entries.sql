SELECT
    erp_id AS revenue_entry_id,
    key AS posting_key,
    legal_entity,
    service_month,
    service_date,
    project_code,
    minutes,
    amount,
    currency,
    entry_number,
    entry_state,
    posted
FROM erp_revenue_entries
