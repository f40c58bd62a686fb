SELECT country AS region
FROM stg_customers
UNION
SELECT country AS region
FROM stg_legal_entities
