WITH members AS (
    SELECT
        'client' AS dimension,
        coalesce(customer_id, 'unassigned') AS member,
        *
    FROM mart_margin
    UNION ALL
    SELECT
        'project' AS dimension,
        coalesce(project_id, 'unassigned') AS member,
        *
    FROM mart_margin
    UNION ALL
    SELECT
        'practice' AS dimension,
        coalesce(practice, 'unassigned') AS member,
        *
    FROM mart_margin
    UNION ALL
    SELECT
        'consultant' AS dimension,
        coalesce(employee_id, 'unassigned') AS member,
        *
    FROM mart_margin
    UNION ALL
    SELECT
        'grade' AS dimension,
        coalesce(grade, 'unassigned') AS member,
        *
    FROM mart_margin
)

SELECT
    dimension,
    member,
    legal_entity,
    service_month,
    entity_currency,
    group_currency,
    CAST(sum(revenue_amount) AS DECIMAL(18, 4)) AS revenue_amount,
    CAST(sum(cost_amount) AS DECIMAL(18, 4)) AS cost_amount,
    CAST(sum(margin_amount) AS DECIMAL(18, 4)) AS margin_amount,
    CAST(sum(group_revenue_amount) AS DECIMAL(18, 4)) AS group_revenue_amount,
    CAST(sum(group_cost_amount) AS DECIMAL(18, 4)) AS group_cost_amount,
    CAST(sum(group_margin_amount) AS DECIMAL(18, 4)) AS group_margin_amount,
    share(sum(margin_amount), sum(revenue_amount)) AS margin_fraction
FROM members
GROUP BY dimension, member, legal_entity, service_month, entity_currency, group_currency
