-- What an effect in the ERP comes from: the ledger of postings has the object's id, its first part has the rest.
SELECT
    postings.posting_key,
    postings.object_id,
    postings.booked_as,
    work.kind,
    work.employee_id,
    work.project_id,
    work.contract_id,
    work.component
FROM stg_postings AS postings
LEFT JOIN stg_decided_work AS work ON work.object_id = postings.object_id AND work.part = 1
