-- Every entity, currency and date that some amount has and that may have to be converted.
SELECT legal_entity, currency, service_date FROM stg_billing_lines
UNION
SELECT legal_entity, currency, invoice_date FROM stg_billing_lines WHERE invoice_date IS NOT NULL
UNION
SELECT legal_entity, currency, service_date FROM stg_cost_entries
UNION
SELECT legal_entity, currency, service_date FROM stg_revenue_entries
UNION
SELECT legal_entity, currency, service_date FROM stg_intercompany_charges
UNION
SELECT legal_entity, currency, invoice_date FROM stg_invoices WHERE invoice_date IS NOT NULL
UNION
SELECT legal_entity, currency, service_date FROM stg_decided_work WHERE currency IS NOT NULL
UNION
SELECT work.legal_entity, rates.currency, work.service_date
FROM stg_decided_work AS work
INNER JOIN stg_bill_rates AS rates ON rates.project_id = work.project_id
UNION
SELECT contracts.legal_entity, backlog.currency, last_day(CAST(backlog.as_of_month || '-01' AS DATE))
FROM stg_contract_backlog AS backlog
INNER JOIN stg_contracts AS contracts ON contracts.contract_id = backlog.contract_id
