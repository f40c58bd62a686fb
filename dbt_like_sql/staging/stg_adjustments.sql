SELECT
    id AS adjustment_id,
    kind,
    object_id,
    legal_entity,
    service_month,
    choice,
    reason,
    decided_at
FROM adjustments
