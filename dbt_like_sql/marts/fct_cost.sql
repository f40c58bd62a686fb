WITH entries AS (
    SELECT
        'cost_entry' AS source,
        cost_entry_id AS source_id,
        posting_key,
        legal_entity,
        service_month,
        service_date,
        project_code,
        minutes,
        cost_amount AS amount,
        currency,
        posted
    FROM stg_cost_entries
    UNION ALL
    SELECT
        'revenue_entry' AS source,
        provisions.revenue_entry_id AS source_id,
        provisions.posting_key,
        provisions.legal_entity,
        provisions.service_month,
        provisions.service_date,
        provisions.project_code,
        provisions.minutes,
        provisions.amount,
        provisions.currency,
        provisions.posted
    FROM stg_revenue_entries AS provisions
    INNER JOIN stg_postings AS postings ON postings.posting_key = provisions.posting_key
    WHERE postings.booked_as = 'loss_provision'
)

SELECT
    entries.source,
    entries.source_id,
    entries.legal_entity,
    entries.service_month,
    entries.service_date,
    coalesce(objects.booked_as, 'by_hand') AS kind,
    objects.employee_id,
    coalesce(projects.project_id, objects.project_id) AS project_id,
    -- What is on the project that the work has left belongs to that project's contract still.
    CASE
        WHEN coalesce(objects.project_id = projects.project_id, true) THEN coalesce(objects.contract_id, projects.contract_id)
        ELSE projects.contract_id
    END AS contract_id,
    contracts.customer_id,
    CASE WHEN coalesce(objects.project_id = projects.project_id, true) THEN objects.component END AS component,
    entries.minutes,
    entries.amount,
    entries.currency,
    entries.posted,
    rates.entity_currency,
    rates.group_currency,
    CAST(entries.amount * rates.to_entity AS DECIMAL(18, 4)) AS entity_amount,
    -- To the group an hour costs what its employer pays for it: the mark-up of one entity on another is no cost.
    CAST(CASE
        WHEN objects.booked_as = 'intercompany' THEN share(
            CAST(entries.amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group,
            1 + coalesce(company.intercompany_mark_up, 0)
        )
        ELSE CAST(entries.amount * rates.to_entity AS DECIMAL(18, 4)) * rates.to_group
    END AS DECIMAL(18, 4)) AS group_amount
FROM entries
LEFT JOIN stg_company AS company ON true
LEFT JOIN int_objects AS objects ON objects.posting_key = entries.posting_key
LEFT JOIN stg_projects AS projects ON projects.project_code = entries.project_code
LEFT JOIN stg_contracts AS contracts ON contracts.contract_id = CASE
    WHEN coalesce(objects.project_id = projects.project_id, true) THEN coalesce(objects.contract_id, projects.contract_id)
    ELSE projects.contract_id
END
LEFT JOIN int_rates_of_amounts AS rates
    ON rates.legal_entity = entries.legal_entity
    AND rates.currency = entries.currency
    AND rates.rate_date = entries.service_date
