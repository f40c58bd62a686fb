"""Exception items: the boundary to the people who clear them."""

from psa_erp_assets.contracts.frames import Contract, each_row, table_schema, together
from psa_erp_assets.contracts.lake_tables import EXCEPTIONS
from psa_erp_assets.domain.faults import FaultClass, Owner

ACTIONABLE = Contract(
    name="every_exception_has_an_owner_and_a_next_step",
    description="Nobody has to guess whose an item is or what to do about it.",
    table=EXCEPTIONS,
    schema=table_schema(
        EXCEPTIONS,
        unique=["id"],
        accepted={"fault_class": {c.value for c in FaultClass}, "owner": {o.value for o in Owner}},
        checks=[
            each_row("the next step is said", lambda f: f["next_step"].str.len() > 0),
            each_row("what is resolved says how", lambda f: together(f, "resolved_at", "resolution")),
        ],
    ),
)

CONTRACTS = (ACTIONABLE,)
