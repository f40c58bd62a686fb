WITH taken_back AS (
    SELECT target_key AS posting_key
    FROM stg_postings
    WHERE effect_type = 'billing_line' AND leg = 'reversal' AND state IN ('confirmed', 'verified', 'drift')
    UNION
    SELECT credits_key AS posting_key FROM stg_billing_lines WHERE credits_key IS NOT NULL
    UNION
    SELECT posting_key FROM stg_postings WHERE effect_type = 'billing_line' AND state = 'drift'
),

corrected AS (
    SELECT DISTINCT
        lines.legal_entity,
        lines.invoice_number
    FROM stg_billing_lines AS lines
    INNER JOIN taken_back ON taken_back.posting_key = lines.posting_key
    WHERE lines.invoice_number IS NOT NULL
),

invoices AS (
    SELECT
        stg_invoices.legal_entity,
        strftime(stg_invoices.invoice_date, '%Y-%m') AS invoice_month,
        stg_invoices.invoice_state = 'cancelled' AS is_cancelled,
        corrected.invoice_number IS NOT NULL AS is_corrected
    FROM stg_invoices
    LEFT JOIN corrected
        ON corrected.legal_entity = stg_invoices.legal_entity
        AND corrected.invoice_number = stg_invoices.invoice_number
    -- A credit note is what a correction looks like, and what has no number was never posted.
    WHERE stg_invoices.net_amount >= 0
        AND stg_invoices.invoice_number IS NOT NULL
        AND stg_invoices.invoice_date IS NOT NULL
        AND stg_invoices.invoice_state IN ('posted', 'paid', 'cancelled')
)

SELECT
    legal_entity,
    invoice_month,
    count(*) AS invoices,
    count(*) FILTER (WHERE is_cancelled) AS cancelled_invoices,
    count(*) FILTER (WHERE is_corrected AND NOT is_cancelled) AS corrected_invoices,
    count(*) FILTER (WHERE NOT is_corrected AND NOT is_cancelled) AS first_pass_invoices,
    share(count(*) FILTER (WHERE NOT is_corrected AND NOT is_cancelled), count(*)) AS first_pass_accuracy
FROM invoices
GROUP BY legal_entity, invoice_month
