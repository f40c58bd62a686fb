SELECT
    code AS legal_entity,
    name AS legal_entity_name,
    currency,
    country,
    time_zone
FROM legal_entities
