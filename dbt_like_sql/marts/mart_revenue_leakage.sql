WITH lost AS (
    SELECT
        legal_entity, contract_id, service_month, entity_currency, group_currency,
        -- A credit that is not billed again is a decision of its own, about the credited minutes of the entry.
        CASE WHEN outcome = 'written_off' AND object_id LIKE '%#%' THEN 'credited' ELSE outcome END AS reason,
        minutes, standard_entity_amount, standard_group_amount
    FROM fct_approved_work
    WHERE outcome IN ('written_off', 'hold') AND bill_amount IS NULL
    UNION ALL
    SELECT
        legal_entity, contract_id, service_month, entity_currency, group_currency,
        'non_billable' AS reason, minutes, standard_entity_amount, standard_group_amount
    FROM fct_approved_work
    WHERE outcome = 'non_billable' AND recorded_as_billable AND contract_id IS NOT NULL
)

SELECT
    lost.legal_entity,
    lost.contract_id,
    lost.service_month,
    lost.reason,
    max(lost.entity_currency) AS entity_currency,
    max(lost.group_currency) AS group_currency,
    count(*) AS items,
    CAST(sum(lost.minutes) AS BIGINT) AS minutes,
    CAST(sum(coalesce(lost.standard_entity_amount, 0)) AS DECIMAL(18, 4)) AS entity_amount,
    CAST(sum(coalesce(lost.standard_group_amount, 0)) AS DECIMAL(18, 4)) AS group_amount,
    count(*) FILTER (WHERE lost.standard_entity_amount IS NULL) AS items_without_value
FROM lost
GROUP BY lost.legal_entity, lost.contract_id, lost.service_month, lost.reason
