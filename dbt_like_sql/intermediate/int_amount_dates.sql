-- Every entity, currency and date that some amount has and that may have to be converted.
SELECT legal_entity, currency, amount_date AS service_date FROM int_amounts_by_month
UNION
SELECT legal_entity, currency, invoice_date FROM stg_invoices WHERE invoice_date IS NOT NULL
UNION
SELECT contracts.legal_entity, backlog.currency, last_day(CAST(backlog.as_of_month || '-01' AS DATE))
FROM stg_contract_backlog AS backlog
INNER JOIN stg_contracts AS contracts ON contracts.contract_id = backlog.contract_id
