SELECT service_month, legal_entity, currency, service_date AS amount_date FROM stg_billing_lines
UNION
SELECT service_month, legal_entity, currency, invoice_date FROM stg_billing_lines WHERE invoice_date IS NOT NULL
UNION
SELECT service_month, legal_entity, currency, service_date FROM stg_cost_entries
UNION
SELECT service_month, legal_entity, currency, service_date FROM stg_revenue_entries
UNION
SELECT service_month, legal_entity, currency, service_date FROM stg_intercompany_charges
UNION
SELECT service_month, legal_entity, currency, service_date FROM stg_decided_work WHERE currency IS NOT NULL
UNION
-- Work is valued at its project's rates too, whatever was decided about it.
SELECT work.service_month, work.legal_entity, rates.currency, work.service_date
FROM (SELECT DISTINCT service_month, legal_entity, project_id, service_date FROM stg_decided_work) AS work
INNER JOIN (SELECT DISTINCT project_id, currency FROM stg_bill_rates) AS rates ON rates.project_id = work.project_id
