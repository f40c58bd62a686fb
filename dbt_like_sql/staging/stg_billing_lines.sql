SELECT
    erp_id AS billing_line_id,
    key AS posting_key,
    legal_entity,
    service_month,
    service_date,
    party_code,
    project_code,
    minutes,
    net_amount,
    tax_amount,
    currency,
    invoice_number,
    invoice_state,
    posted AS invoiced,
    invoice_date,
    credits_key
FROM erp_billing_lines
-- What is on an invoice that the ERP has cancelled counts for nothing; its work is billed on another line.
WHERE invoice_state IS DISTINCT FROM 'cancelled'
