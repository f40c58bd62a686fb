WITH facts AS (
    SELECT
        approved.legal_entity,
        approved.contract_id,
        approved.service_month,
        coalesce(approved.bill_currency, contracts.currency) AS currency,
        approved.minutes AS approved_minutes,
        CASE WHEN approved.outcome = 'hold' THEN approved.minutes ELSE 0 END AS held_minutes,
        0 AS erp_minutes,
        0 AS invoiced_minutes,
        coalesce(approved.bill_amount, 0) AS approved_amount,
        0 AS erp_amount,
        0 AS invoiced_amount
    FROM stg_approved_time AS approved
    LEFT JOIN stg_contracts AS contracts ON contracts.contract_id = approved.contract_id
    WHERE approved.outcome IN ('post', 'hold')
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
