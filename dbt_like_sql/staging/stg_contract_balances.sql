SELECT
    contract_id,
    component,
    service_month,
    currency,
    billed AS billed_to_date,
    earned AS earned_to_date,
    minutes AS minutes_to_date
FROM contract_balances
