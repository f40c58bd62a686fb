SELECT contract_id
FROM fct_revenue
WHERE kind NOT IN ('time', 'expense', 'by_hand') AND contract_id IS NOT NULL
UNION
SELECT contract_id
FROM fct_billing
WHERE kind NOT IN ('time', 'expense', 'by_hand') AND contract_id IS NOT NULL
