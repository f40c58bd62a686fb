-- What an effect in the ERP comes from: the ledger of postings has the object's id, its first part has the rest.
SELECT
    postings.posting_key,
    postings.service_month,
    postings.object_id,
    postings.booked_as,
    -- Of what is decided about no more (work that was deleted, or moved away) its id still says what it was.
    coalesce(work.kind, CASE
        WHEN postings.object_id LIKE 'time_entry:%' THEN 'time'
        WHEN postings.object_id LIKE 'expense:%' THEN 'expense'
        WHEN postings.object_id LIKE 'milestone:%' THEN 'milestone'
        WHEN postings.object_id LIKE 'contract:%' THEN split_part(postings.object_id, ':', 3)
    END) AS kind,
    work.employee_id,
    work.project_id,
    work.contract_id,
    work.component
FROM stg_postings AS postings
LEFT JOIN stg_decided_work AS work ON work.object_id = postings.object_id AND work.part = 1
