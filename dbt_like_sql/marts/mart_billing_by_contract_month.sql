WITH facts AS (
    SELECT
        work.legal_entity,
        work.contract_id,
        work.service_month,
        coalesce(work.currency, contracts.currency) AS currency,
        work.minutes AS approved_minutes,
        CASE WHEN work.outcome = 'hold' THEN work.minutes ELSE 0 END AS held_minutes,
        0 AS erp_minutes,
        0 AS invoiced_minutes,
        coalesce(work.bill_amount, 0) AS approved_amount,
        0 AS erp_amount,
        0 AS invoiced_amount
    FROM stg_decided_work AS work
    LEFT JOIN stg_contracts AS contracts ON contracts.contract_id = work.contract_id
    WHERE work.outcome IN ('post', 'hold') AND work.kind NOT IN ('revenue', 'loss')
    UNION ALL
    SELECT
        legal_entity,
        contract_id,
        service_month,
        currency,
        0 AS approved_minutes,
        0 AS held_minutes,
        minutes AS erp_minutes,
        CASE WHEN invoiced THEN minutes ELSE 0 END AS invoiced_minutes,
        0 AS approved_amount,
        net_amount AS erp_amount,
        CASE WHEN invoiced THEN net_amount ELSE 0 END AS invoiced_amount
    FROM int_billing_by_project_line
)

SELECT
    facts.legal_entity,
    facts.contract_id,
    contracts.contract_name,
    customers.customer_name,
    contracts.contract_kind,
    facts.service_month,
    facts.currency,
    CAST(sum(facts.approved_minutes) AS BIGINT) AS approved_minutes,
    CAST(sum(facts.held_minutes) AS BIGINT) AS held_minutes,
    CAST(sum(facts.erp_minutes) AS BIGINT) AS erp_minutes,
    CAST(sum(facts.invoiced_minutes) AS BIGINT) AS invoiced_minutes,
    CAST(sum(facts.approved_amount) AS DECIMAL(18, 4)) AS approved_amount,
    CAST(sum(facts.erp_amount) AS DECIMAL(18, 4)) AS erp_amount,
    CAST(sum(facts.invoiced_amount) AS DECIMAL(18, 4)) AS invoiced_amount,
    CAST(sum(facts.approved_amount) - sum(facts.invoiced_amount) AS DECIMAL(18, 4)) AS not_invoiced_amount
FROM facts
LEFT JOIN stg_contracts AS contracts ON contracts.contract_id = facts.contract_id
LEFT JOIN stg_customers AS customers ON customers.customer_id = contracts.customer_id
GROUP BY ALL
