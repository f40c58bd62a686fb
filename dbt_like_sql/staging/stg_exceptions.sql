SELECT
    id AS exception_id,
    code,
    fault_class,
    owner,
    next_step,
    object_id,
    legal_entity,
    service_month,
    minutes,
    detail,
    first_seen_at,
    last_seen_at,
    resolved_at,
    resolution
FROM exceptions
