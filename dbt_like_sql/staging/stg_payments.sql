SELECT
    erp_id AS payment_id,
    number AS payment_number,
    invoice_id,
    legal_entity,
    paid_on,
    amount,
    currency
FROM erp_payments
