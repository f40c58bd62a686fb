SELECT
    contract_id,
    component,
    as_of_month,
    month AS backlog_month,
    amount,
    currency,
    gap
FROM contract_backlog
