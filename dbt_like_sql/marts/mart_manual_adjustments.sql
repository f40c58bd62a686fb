WITH work AS (
    SELECT
        object_id,
        legal_entity,
        service_month,
        max(currency) AS currency
    FROM stg_decided_work
    WHERE object_id IN (SELECT object_id FROM stg_credits UNION SELECT object_id FROM stg_adjustments)
    GROUP BY object_id, legal_entity, service_month
),

found AS (
    SELECT
        legal_entity,
        service_month,
        CASE WHEN credits_key IS NULL THEN 'line_by_hand' ELSE 'credit_by_hand' END AS kind,
        currency,
        minutes,
        net_amount AS amount
    FROM stg_billing_lines
    WHERE posting_key IS NULL
    UNION ALL
    SELECT legal_entity, service_month, 'cost_by_hand' AS kind, currency, minutes, cost_amount AS amount
    FROM stg_cost_entries
    WHERE posting_key IS NULL
    UNION ALL
    SELECT legal_entity, service_month, 'charge_by_hand' AS kind, currency, minutes, amount
    FROM stg_intercompany_charges
    WHERE posting_key IS NULL
    UNION ALL
    SELECT legal_entity, service_month, 'revenue_by_hand' AS kind, currency, minutes, amount
    FROM stg_revenue_entries
    WHERE posting_key IS NULL
    UNION ALL
    SELECT
        legal_entity,
        service_month,
        'changed_in_erp' AS kind,
        currency,
        erp_minutes - approved_minutes AS minutes,
        erp_amount - coalesce(approved_amount, 0) AS amount
    FROM stg_reconciliation
    WHERE difference IN ('manual_change', 'fx', 'tax')
    UNION ALL
    SELECT
        work.legal_entity,
        work.service_month,
        CASE WHEN credits.in_erp THEN 'credit_explained' ELSE 'credit' END AS kind,
        work.currency,
        credits.minutes,
        0 AS amount
    FROM stg_credits AS credits
    LEFT JOIN work ON work.object_id = credits.object_id
    UNION ALL
    SELECT
        coalesce(work.legal_entity, made.legal_entity) AS legal_entity,
        coalesce(work.service_month, made.service_month) AS service_month,
        CASE made.kind WHEN 'write_off' THEN 'write_off' ELSE 'period_' || made.choice END AS kind,
        work.currency,
        0 AS minutes,
        0 AS amount
    FROM stg_adjustments AS made
    LEFT JOIN work ON work.object_id = made.object_id
)

SELECT
    coalesce(legal_entity, 'unassigned') AS legal_entity,
    coalesce(service_month, 'unassigned') AS service_month,
    kind,
    currency,
    count(*) AS adjustments,
    CAST(sum(minutes) AS BIGINT) AS minutes,
    CAST(sum(amount) AS DECIMAL(18, 4)) AS amount
FROM found
GROUP BY ALL
