SELECT
    legal_entity,
    month AS ledger_month,
    account,
    role,
    posted AS posted_amount,
    draft AS draft_amount,
    currency,
    coalesce(opening, false) AS is_opening
FROM account_balances
