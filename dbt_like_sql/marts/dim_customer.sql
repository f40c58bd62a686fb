SELECT
    customer_id,
    customer_name,
    country AS region
FROM stg_customers
