SELECT
    group_currency,
    intercompany_mark_up
FROM company
