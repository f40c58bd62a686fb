SELECT
    legal_entity,
    service_month,
    contract_id,
    employee_id,
    entry_id,
    approved_minutes,
    erp_minutes,
    invoiced_minutes,
    approved_amount,
    erp_amount,
    invoiced_amount,
    currency,
    difference,
    explained,
    next_step
FROM reconciliation
