WITH work AS (
    SELECT DISTINCT
        object_id,
        legal_entity,
        service_month
    FROM stg_decided_work
    WHERE kind IN ('time', 'expense', 'milestone')
),

troubles AS (
    SELECT
        object_id,
        count(*) AS exceptions,
        count(*) FILTER (WHERE resolved_at IS NULL) AS open_exceptions
    FROM stg_exceptions
    GROUP BY object_id
),

lasted AS (
    SELECT
        work.legal_entity,
        work.service_month,
        quantile_disc(date_diff('minute', items.first_seen_at, items.resolved_at), 0.5) AS minutes_p50,
        quantile_disc(date_diff('minute', items.first_seen_at, items.resolved_at), 0.9) AS minutes_p90
    FROM work
    INNER JOIN stg_exceptions AS items ON items.object_id = work.object_id
    WHERE items.resolved_at IS NOT NULL
    GROUP BY work.legal_entity, work.service_month
),

counts AS (
    SELECT
        work.legal_entity,
        work.service_month,
        count(*) AS work_items,
        count(troubles.object_id) AS items_in_trouble,
        count(*) FILTER (WHERE troubles.open_exceptions > 0) AS items_in_open_trouble,
        CAST(coalesce(sum(troubles.exceptions), 0) AS BIGINT) AS exceptions
    FROM work
    LEFT JOIN troubles ON troubles.object_id = work.object_id
    GROUP BY work.legal_entity, work.service_month
)

SELECT
    counts.legal_entity,
    counts.service_month,
    counts.work_items,
    counts.items_in_trouble,
    counts.items_in_open_trouble,
    counts.exceptions,
    share(counts.items_in_trouble, counts.work_items) AS exception_rate,
    share(counts.items_in_open_trouble, counts.work_items) AS open_exception_rate,
    lasted.minutes_p50 AS resolution_minutes_p50,
    lasted.minutes_p90 AS resolution_minutes_p90
FROM counts
LEFT JOIN lasted ON lasted.legal_entity = counts.legal_entity AND lasted.service_month = counts.service_month
