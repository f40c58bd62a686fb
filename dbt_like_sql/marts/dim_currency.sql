SELECT from_currency AS currency
FROM stg_fx_rates
UNION
SELECT to_currency AS currency
FROM stg_fx_rates
UNION
SELECT currency
FROM stg_legal_entities
UNION
SELECT currency
FROM stg_contracts
