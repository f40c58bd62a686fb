"""All contracts, in the order in which the data cross them."""

from psa_erp_assets.contracts import approved_time, exceptions, postings, read_back, reconciliation
from psa_erp_assets.contracts.frames import Contract

BOUNDARIES: tuple[Contract, ...] = (
    *approved_time.CONTRACTS,
    *postings.CONTRACTS,
    *read_back.CONTRACTS,
    *reconciliation.CONTRACTS,
    *exceptions.CONTRACTS,
)
