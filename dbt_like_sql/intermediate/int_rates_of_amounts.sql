-- One place for the policy of conversion: a fact's date, entity and currency give both rates.
SELECT
    facts.legal_entity,
    facts.currency,
    facts.service_date AS rate_date,
    entities.currency AS entity_currency,
    company.group_currency,
    CAST(CASE WHEN facts.currency = entities.currency THEN 1 ELSE to_books.rate END AS DECIMAL(20, 10)) AS to_entity,
    CAST(CASE WHEN entities.currency = company.group_currency THEN 1 ELSE to_group.rate END AS DECIMAL(20, 10)) AS to_group
FROM int_amount_dates AS facts
LEFT JOIN stg_legal_entities AS entities ON entities.legal_entity = facts.legal_entity
LEFT JOIN stg_company AS company ON true
LEFT JOIN int_conversion_rates AS to_books
    ON to_books.from_currency = facts.currency
    AND to_books.to_currency = entities.currency
    AND to_books.service_date = facts.service_date
LEFT JOIN int_conversion_rates AS to_group
    ON to_group.from_currency = entities.currency
    AND to_group.to_currency = company.group_currency
    AND to_group.service_date = facts.service_date
