-- Mondays to Fridays at eight hours. Holidays and leave are not known here and stay in.
WITH months AS (
    SELECT DISTINCT
        service_month,
        CAST(service_month || '-01' AS DATE) AS first_day
    FROM stg_approved_time
),

days AS (
    SELECT
        service_month,
        unnest(range(first_day, first_day + INTERVAL 1 MONTH, INTERVAL 1 DAY)) AS day
    FROM months
)

SELECT
    service_month,
    count(*) AS working_days,
    count(*) * 480 AS capacity_minutes
FROM days
WHERE isodow(day) <= 5
GROUP BY service_month
