WITH bounds AS (
    SELECT
        date_trunc('year', min(service_date)) AS first_day,
        date_trunc('year', max(service_date)) + INTERVAL 1 YEAR AS after_last
    FROM stg_decided_work
),

days AS (
    SELECT CAST(unnest(range(first_day, after_last, INTERVAL 1 DAY)) AS DATE) AS calendar_day
    FROM bounds
)

SELECT
    calendar_day,
    strftime(calendar_day, '%Y-%m') AS calendar_month,
    CAST(year(calendar_day) AS BIGINT) AS calendar_year,
    CAST(quarter(calendar_day) AS BIGINT) AS calendar_quarter,
    isodow(calendar_day) <= 5 AS is_weekday
FROM days
