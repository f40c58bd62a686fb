SELECT
    legal_entity,
    service_month,
    currency,
    difference,
    explained,
    next_step,
    count(*) AS entries,
    CAST(sum(approved_minutes) AS BIGINT) AS approved_minutes,
    CAST(sum(erp_minutes) AS BIGINT) AS erp_minutes,
    CAST(sum(invoiced_minutes) AS BIGINT) AS invoiced_minutes,
    CAST(sum(coalesce(approved_amount, 0)) AS DECIMAL(18, 4)) AS approved_amount,
    CAST(sum(erp_amount) AS DECIMAL(18, 4)) AS erp_amount,
    CAST(sum(invoiced_amount) AS DECIMAL(18, 4)) AS invoiced_amount
FROM stg_reconciliation
GROUP BY ALL
