WITH months AS (
    SELECT legal_entity, service_month FROM mart_cycle_time_by_month
    UNION
    SELECT legal_entity, service_month FROM mart_exception_rate_by_month
    UNION
    SELECT legal_entity, invoice_month AS service_month FROM mart_invoice_accuracy_by_month
    UNION
    SELECT legal_entity, service_month FROM mart_traceability_by_month
    UNION
    SELECT legal_entity, service_month FROM mart_reconciliation_time_by_month
    UNION
    SELECT legal_entity, service_month FROM mart_manual_adjustments
),

adjustments AS (
    SELECT
        legal_entity,
        service_month,
        CAST(sum(adjustments) AS BIGINT) AS adjustments
    FROM mart_manual_adjustments
    GROUP BY legal_entity, service_month
),

leakage AS (
    SELECT
        legal_entity,
        service_month,
        CAST(sum(minutes) AS BIGINT) AS minutes,
        CAST(sum(entity_amount) AS DECIMAL(18, 4)) AS amount
    FROM mart_revenue_leakage
    GROUP BY legal_entity, service_month
),

worth AS (
    SELECT
        legal_entity,
        service_month,
        sum(standard_entity_amount) AS amount
    FROM fct_approved_work
    WHERE recorded_as_billable
    GROUP BY legal_entity, service_month
)

SELECT
    months.legal_entity,
    months.service_month,
    entities.currency AS entity_currency,
    cycle.approval_to_draft_minutes_p50,
    cycle.approval_to_draft_minutes_p90,
    cycle.draft_to_posted_days_p50,
    cycle.draft_to_posted_days_p90,
    cycle.service_to_posted_days_p50,
    cycle.service_to_posted_days_p90,
    troubles.exception_rate,
    troubles.open_exception_rate,
    accuracy.first_pass_accuracy,
    explained.reconciliation_minutes_p50,
    explained.reconciliation_minutes_p90,
    coalesce(explained.open_differences, 0) AS open_differences,
    coalesce(adjustments.adjustments, 0) AS manual_adjustments,
    coalesce(leakage.minutes, 0) AS leakage_minutes,
    CAST(coalesce(leakage.amount, 0) AS DECIMAL(18, 4)) AS leakage_amount,
    share(coalesce(leakage.amount, 0), worth.amount) AS leakage_fraction,
    trace.traceable_fraction,
    trace.traced_revenue_fraction
FROM months
LEFT JOIN stg_legal_entities AS entities ON entities.legal_entity = months.legal_entity
LEFT JOIN mart_cycle_time_by_month AS cycle
    ON cycle.legal_entity = months.legal_entity AND cycle.service_month = months.service_month
LEFT JOIN mart_exception_rate_by_month AS troubles
    ON troubles.legal_entity = months.legal_entity AND troubles.service_month = months.service_month
LEFT JOIN mart_invoice_accuracy_by_month AS accuracy
    ON accuracy.legal_entity = months.legal_entity AND accuracy.invoice_month = months.service_month
LEFT JOIN mart_reconciliation_time_by_month AS explained
    ON explained.legal_entity = months.legal_entity AND explained.service_month = months.service_month
LEFT JOIN mart_traceability_by_month AS trace
    ON trace.legal_entity = months.legal_entity AND trace.service_month = months.service_month
LEFT JOIN adjustments ON adjustments.legal_entity = months.legal_entity AND adjustments.service_month = months.service_month
LEFT JOIN leakage ON leakage.legal_entity = months.legal_entity AND leakage.service_month = months.service_month
LEFT JOIN worth ON worth.legal_entity = months.legal_entity AND worth.service_month = months.service_month
