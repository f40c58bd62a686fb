SELECT
    id AS credit_id,
    object_id,
    minutes,
    rebill,
    in_erp,
    reason,
    requested_at
FROM credits
