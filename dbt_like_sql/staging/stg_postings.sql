SELECT
    key AS posting_key,
    legal_entity,
    service_month,
    effect_type,
    leg,
    operation,
    object_id,
    revision,
    state,
    amount,
    currency,
    minutes,
    erp_id,
    service_date,
    booked_as
FROM postings
