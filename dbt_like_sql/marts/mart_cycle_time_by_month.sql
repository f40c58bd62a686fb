SELECT
    legal_entity,
    service_month,
    count(*) AS lines,
    count(drafted_at) AS drafted_lines,
    count(invoice_date) AS posted_lines,
    quantile_disc(approval_to_draft_minutes, 0.5) AS approval_to_draft_minutes_p50,
    quantile_disc(approval_to_draft_minutes, 0.9) AS approval_to_draft_minutes_p90,
    quantile_disc(service_to_draft_days, 0.5) AS service_to_draft_days_p50,
    quantile_disc(service_to_draft_days, 0.9) AS service_to_draft_days_p90,
    quantile_disc(draft_to_posted_days, 0.5) AS draft_to_posted_days_p50,
    quantile_disc(draft_to_posted_days, 0.9) AS draft_to_posted_days_p90,
    quantile_disc(service_to_posted_days, 0.5) AS service_to_posted_days_p50,
    quantile_disc(service_to_posted_days, 0.9) AS service_to_posted_days_p90
FROM fct_billing_cycle
GROUP BY legal_entity, service_month
