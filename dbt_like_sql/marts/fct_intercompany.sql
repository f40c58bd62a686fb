SELECT
    charges.charge_id,
    charges.legal_entity,
    charges.service_month,
    charges.service_date,
    objects.employee_id,
    objects.project_id,
    objects.contract_id,
    charges.minutes,
    charges.amount,
    charges.currency,
    charges.posted,
    rates.entity_currency,
    rates.group_currency,
    CAST(charges.amount * rates.to_entity AS DECIMAL(18, 4)) AS entity_amount,
    CAST(CAST(charges.amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group AS DECIMAL(18, 4)) AS group_amount
FROM stg_intercompany_charges AS charges
LEFT JOIN int_objects AS objects ON objects.posting_key = charges.posting_key
LEFT JOIN int_rates_of_amounts AS rates
    ON rates.legal_entity = charges.legal_entity
    AND rates.currency = charges.currency
    AND rates.rate_date = charges.service_date
