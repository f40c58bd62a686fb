WITH lines AS (
    SELECT
        posting_key,
        max(CASE WHEN invoiced THEN invoice_number END) AS invoice_number,
        max(CASE WHEN invoiced THEN invoice_date END) AS invoice_date
    FROM stg_billing_lines
    WHERE posting_key IS NOT NULL
    GROUP BY posting_key
)

SELECT
    postings.posting_key,
    postings.object_id,
    coalesce(objects.kind, 'none') AS kind,
    postings.legal_entity,
    objects.contract_id,
    postings.service_month,
    postings.service_date,
    postings.state,
    postings.attempts,
    postings.approved_at,
    postings.planned_at,
    postings.drafted_at,
    lines.invoice_number,
    lines.invoice_date,
    date_diff('minute', postings.approved_at, postings.drafted_at) AS approval_to_draft_minutes,
    date_diff('day', postings.service_date, CAST(postings.drafted_at AS DATE)) AS service_to_draft_days,
    -- An invoice may be dated back; its line did not wait then.
    CASE
        WHEN lines.invoice_date < CAST(postings.drafted_at AS DATE) THEN 0
        ELSE date_diff('day', CAST(postings.drafted_at AS DATE), lines.invoice_date)
    END AS draft_to_posted_days,
    date_diff('day', postings.service_date, lines.invoice_date) AS service_to_posted_days
FROM stg_postings AS postings
LEFT JOIN int_objects AS objects ON objects.posting_key = postings.posting_key
LEFT JOIN lines ON lines.posting_key = postings.posting_key
WHERE postings.effect_type = 'billing_line'
    AND postings.leg = 'original'
    AND postings.operation = 'create'
    AND postings.state <> 'cancelled'
