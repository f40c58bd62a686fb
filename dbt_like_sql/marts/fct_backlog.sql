SELECT
    contracts.legal_entity,
    backlog.contract_id,
    contracts.customer_id,
    backlog.component,
    backlog.as_of_month,
    backlog.backlog_month,
    backlog.gap,
    backlog.amount,
    backlog.currency,
    rates.entity_currency,
    rates.group_currency,
    CAST(backlog.amount * rates.to_entity AS DECIMAL(18, 4)) AS entity_amount,
    CAST(CAST(backlog.amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group AS DECIMAL(18, 4)) AS group_amount
FROM stg_contract_backlog AS backlog
INNER JOIN stg_contracts AS contracts ON contracts.contract_id = backlog.contract_id
LEFT JOIN int_rates_of_amounts AS rates
    ON rates.legal_entity = contracts.legal_entity
    AND rates.currency = backlog.currency
    AND rates.rate_date = last_day(CAST(backlog.as_of_month || '-01' AS DATE))
