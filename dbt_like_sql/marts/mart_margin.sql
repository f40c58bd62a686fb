WITH facts AS (
    SELECT
        legal_entity, service_month, customer_id, contract_id, project_id, employee_id,
        entity_currency, group_currency,
        entity_amount AS revenue, 0 AS cost, group_amount AS group_revenue, 0 AS group_cost
    FROM fct_revenue
    UNION ALL
    SELECT
        legal_entity, service_month, customer_id, contract_id, project_id, employee_id,
        entity_currency, group_currency,
        0 AS revenue, entity_amount AS cost, 0 AS group_revenue, group_amount AS group_cost
    FROM fct_cost
)

SELECT
    facts.legal_entity,
    facts.service_month,
    facts.customer_id,
    facts.contract_id,
    facts.project_id,
    facts.employee_id,
    employees.department AS practice,
    employees.grade,
    facts.entity_currency,
    facts.group_currency,
    CAST(sum(facts.revenue) AS DECIMAL(18, 4)) AS revenue_amount,
    CAST(sum(facts.cost) AS DECIMAL(18, 4)) AS cost_amount,
    CAST(sum(facts.revenue) - sum(facts.cost) AS DECIMAL(18, 4)) AS margin_amount,
    CAST(sum(facts.group_revenue) AS DECIMAL(18, 4)) AS group_revenue_amount,
    CAST(sum(facts.group_cost) AS DECIMAL(18, 4)) AS group_cost_amount,
    CAST(sum(facts.group_revenue) - sum(facts.group_cost) AS DECIMAL(18, 4)) AS group_margin_amount
FROM facts
LEFT JOIN stg_employees AS employees ON employees.employee_id = facts.employee_id
GROUP BY ALL
