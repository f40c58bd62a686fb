SELECT
    legal_entity,
    legal_entity_name,
    currency,
    country AS region
FROM stg_legal_entities
