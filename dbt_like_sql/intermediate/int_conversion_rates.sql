-- The rate for each currency pair and date that amounts need: direct, inverse, or across one common currency.
WITH needed AS (
    SELECT
        amounts.currency AS from_currency,
        entities.currency AS to_currency,
        amounts.service_date
    FROM int_amount_dates AS amounts
    INNER JOIN stg_legal_entities AS entities ON entities.legal_entity = amounts.legal_entity
    WHERE amounts.currency <> entities.currency
    UNION
    SELECT
        entities.currency AS from_currency,
        company.group_currency AS to_currency,
        amounts.service_date
    FROM int_amount_dates AS amounts
    INNER JOIN stg_legal_entities AS entities ON entities.legal_entity = amounts.legal_entity
    CROSS JOIN stg_company AS company
    WHERE entities.currency <> company.group_currency
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
        CAST(first_leg.rate * second_leg.rate AS DECIMAL(20, 10)) AS rate
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
