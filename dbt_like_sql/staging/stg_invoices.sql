SELECT
    erp_id AS invoice_id,
    number AS invoice_number,
    legal_entity,
    party_code,
    invoice_date,
    currency,
    net_amount,
    tax_amount,
    total_amount,
    open_amount,
    state AS invoice_state
FROM erp_invoices
