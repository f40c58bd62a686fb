SELECT
    id AS fx_rate_id,
    from_currency,
    to_currency,
    date AS valid_from,
    rate
FROM fx_rates
