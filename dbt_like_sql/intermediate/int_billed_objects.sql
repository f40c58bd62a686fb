SELECT DISTINCT
    lines.service_month,
    objects.object_id
FROM stg_billing_lines AS lines
INNER JOIN int_objects AS objects ON objects.posting_key = lines.posting_key
