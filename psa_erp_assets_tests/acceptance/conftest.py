"""The fixture that opens companies, for this folder."""

from psa_erp_assets_tests.support.sync import open_company

__all__ = ["open_company"]
