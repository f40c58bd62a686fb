"""Three-way reconciliation: the boundary to reporting and to whoever closes the month."""

from psa_erp_assets.contracts.frames import Contract, each_row, table_schema, together
from psa_erp_assets.contracts.lake_tables import RECONCILIATION
from psa_erp_assets.domain.reconcile import Difference

_SHOWN = (
    "entry_id",
    "legal_entity",
    "contract_id",
    "approved_minutes",
    "erp_minutes",
    "approved_amount",
    "erp_amount",
    "currency",
    "difference",
    "next_step",
)

CLASSIFIED = Contract(
    name="every_row_is_classified",
    description="Each approved entry, and each line of the ERP that no entry accounts for, is compared exactly once "
    "and has a class.",
    table=RECONCILIATION,
    schema=table_schema(
        RECONCILIATION,
        unique=["entry_id"],
        accepted={"difference": {difference.value for difference in Difference}},
        checks=[
            each_row("approved minutes are not negative", lambda f: f["approved_minutes"] >= 0),
            each_row(
                "an approved amount has a currency",
                lambda f: f["approved_amount"].isna() | together(f, "approved_amount", "currency"),
            ),
        ],
    ),
    columns=_SHOWN,
)

EXPLAINED = Contract(
    name="no_difference_is_unexplained",
    description="Every difference between approved time, the ERP's lines and its invoices has a reason. A failing row "
    "says what to do.",
    table=RECONCILIATION,
    schema=table_schema(
        RECONCILIATION, checks=[each_row("a rule explains the difference", lambda f: f["explained"].astype(bool))]
    ),
    columns=_SHOWN,
)

NO_DUPLICATES = Contract(
    name="nothing_is_billed_twice",
    description="The ERP has no entry more than once.",
    table=RECONCILIATION,
    schema=table_schema(
        RECONCILIATION,
        checks=[each_row("the ERP has it once", lambda f: f["difference"] != Difference.DUPLICATE)],
    ),
    columns=_SHOWN,
)

CONTRACTS = (CLASSIFIED, EXPLAINED, NO_DUPLICATES)
