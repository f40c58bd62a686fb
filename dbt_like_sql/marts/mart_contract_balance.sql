WITH months AS (
    SELECT
        contract_id,
        service_month,
        currency,
        sum(billed_to_date) AS billed_to_date,
        sum(earned_to_date) AS earned_to_date
    FROM stg_contract_balances
    GROUP BY contract_id, service_month, currency
),

moved AS (
    SELECT
        contract_id,
        service_month,
        currency,
        billed_to_date,
        earned_to_date,
        coalesce(lag(billed_to_date) OVER (PARTITION BY contract_id ORDER BY service_month), 0) AS billed_before,
        coalesce(lag(earned_to_date) OVER (PARTITION BY contract_id ORDER BY service_month), 0) AS earned_before
    FROM months
)

SELECT
    contracts.legal_entity,
    moved.contract_id,
    contracts.customer_id,
    moved.service_month,
    moved.currency,
    CAST(moved.earned_before - moved.billed_before AS DECIMAL(18, 4)) AS opening_amount,
    CAST(moved.earned_to_date - moved.earned_before AS DECIMAL(18, 4)) AS earned_amount,
    CAST(moved.billed_to_date - moved.billed_before AS DECIMAL(18, 4)) AS billed_amount,
    CAST(moved.earned_to_date - moved.billed_to_date AS DECIMAL(18, 4)) AS closing_amount,
    CAST(greatest(moved.earned_to_date - moved.billed_to_date, 0) AS DECIMAL(18, 4)) AS contract_asset,
    CAST(greatest(moved.billed_to_date - moved.earned_to_date, 0) AS DECIMAL(18, 4)) AS contract_liability
FROM moved
LEFT JOIN stg_contracts AS contracts ON contracts.contract_id = moved.contract_id
