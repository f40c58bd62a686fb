-- Every rate both ways. A rate as published goes before the inverse of its counterpart, however old it is.
SELECT
    from_currency,
    to_currency,
    valid_from,
    rate,
    0 AS preference
FROM stg_fx_rates
UNION ALL
SELECT
    to_currency AS from_currency,
    from_currency AS to_currency,
    valid_from,
    inverse(rate) AS rate,
    1 AS preference
FROM stg_fx_rates
