SELECT
    invoices.invoice_id,
    invoices.invoice_number,
    invoices.legal_entity,
    invoices.party_code AS customer_id,
    invoices.invoice_date,
    strftime(invoices.invoice_date, '%Y-%m') AS invoice_month,
    invoices.invoice_state,
    invoices.invoice_state IN ('posted', 'paid') AS posted,
    invoices.net_amount,
    invoices.tax_amount,
    invoices.total_amount,
    invoices.open_amount,
    invoices.currency,
    rates.entity_currency,
    rates.group_currency,
    CAST(invoices.total_amount * rates.to_entity AS DECIMAL(18, 4)) AS total_entity_amount,
    CAST(CAST(invoices.total_amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group AS DECIMAL(18, 4)) AS total_group_amount,
    CAST(invoices.open_amount * rates.to_entity AS DECIMAL(18, 4)) AS open_entity_amount,
    CAST(CAST(invoices.open_amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group AS DECIMAL(18, 4)) AS open_group_amount
FROM stg_invoices AS invoices
LEFT JOIN int_rates_of_amounts AS rates
    ON rates.legal_entity = invoices.legal_entity
    AND rates.currency = invoices.currency
    AND rates.rate_date = invoices.invoice_date
