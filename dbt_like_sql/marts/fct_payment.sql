SELECT
    invoice_id,
    invoice_number,
    legal_entity,
    customer_id,
    invoice_date,
    invoice_month,
    CAST(total_amount - open_amount AS DECIMAL(18, 4)) AS amount,
    currency,
    entity_currency,
    group_currency,
    CAST(total_entity_amount - open_entity_amount AS DECIMAL(18, 4)) AS entity_amount,
    CAST(total_group_amount - open_group_amount AS DECIMAL(18, 4)) AS group_amount
FROM fct_invoice
WHERE posted AND total_amount <> open_amount
