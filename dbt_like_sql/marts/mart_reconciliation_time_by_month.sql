WITH differences AS (
    SELECT
        coalesce(legal_entity, 'unassigned') AS legal_entity,
        coalesce(service_month, 'unassigned') AS service_month,
        first_seen_at,
        resolved_at,
        date_diff('minute', first_seen_at, resolved_at) AS lasted_minutes
    FROM stg_exceptions
    WHERE code IN ('document_missing', 'posting_duplicate', 'posting_drift', 'posting_conflict')
)

SELECT
    legal_entity,
    service_month,
    count(*) AS differences,
    count(resolved_at) AS explained_differences,
    count(*) FILTER (WHERE resolved_at IS NULL) AS open_differences,
    min(CASE WHEN resolved_at IS NULL THEN first_seen_at END) AS oldest_open_since,
    quantile_disc(lasted_minutes, 0.5) AS reconciliation_minutes_p50,
    quantile_disc(lasted_minutes, 0.9) AS reconciliation_minutes_p90
FROM differences
GROUP BY legal_entity, service_month
