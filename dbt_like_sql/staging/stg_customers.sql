SELECT
    id AS customer_id,
    name AS customer_name,
    country
FROM customers
