-- The rate for each currency pair and date that billing lines need: direct, inverse, or across one common currency.
WITH needed AS (
    SELECT DISTINCT
        currency AS from_currency,
        entity_currency AS to_currency,
        service_date
    FROM int_billing_by_project_line
    WHERE currency <> entity_currency
),

known AS (
    SELECT
        dates.service_date,
        quotes.from_currency,
        quotes.to_currency,
        quotes.rate
    FROM (SELECT DISTINCT service_date FROM needed) AS dates
    INNER JOIN int_fx_quotes AS quotes ON quotes.valid_from <= dates.service_date
    QUALIFY row_number() OVER (
        PARTITION BY dates.service_date, quotes.from_currency, quotes.to_currency
        ORDER BY quotes.preference, quotes.valid_from DESC
    ) = 1
),

across AS (
    SELECT
        needed.from_currency,
        needed.to_currency,
        needed.service_date,
        CAST(CAST(first_leg.rate AS DOUBLE) * second_leg.rate AS DECIMAL(20, 10)) AS rate
    FROM needed
    INNER JOIN known AS first_leg
        ON first_leg.service_date = needed.service_date AND first_leg.from_currency = needed.from_currency
    INNER JOIN known AS second_leg
        ON second_leg.service_date = needed.service_date
        AND second_leg.from_currency = first_leg.to_currency
        AND second_leg.to_currency = needed.to_currency
    WHERE first_leg.to_currency IN (SELECT from_currency FROM stg_fx_rates)
    QUALIFY row_number() OVER (
        PARTITION BY needed.from_currency, needed.to_currency, needed.service_date
        ORDER BY first_leg.to_currency
    ) = 1
)

SELECT
    needed.from_currency,
    needed.to_currency,
    needed.service_date,
    coalesce(direct.rate, across.rate) AS rate
FROM needed
LEFT JOIN known AS direct
    ON direct.service_date = needed.service_date
    AND direct.from_currency = needed.from_currency
    AND direct.to_currency = needed.to_currency
LEFT JOIN across
    ON across.service_date = needed.service_date
    AND across.from_currency = needed.from_currency
    AND across.to_currency = needed.to_currency
