SELECT
    id AS contract_id,
    name AS contract_name,
    customer_id,
    legal_entity,
    kind AS contract_kind,
    currency,
    valid_from,
    valid_to
FROM contracts
