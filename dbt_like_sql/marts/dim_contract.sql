SELECT
    contract_id,
    contract_name,
    customer_id,
    legal_entity,
    contract_kind,
    currency,
    valid_from,
    valid_to
FROM stg_contracts
