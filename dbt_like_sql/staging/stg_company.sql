SELECT group_currency
FROM company
