"""The fixtures that open companies and that run the demo, for this folder."""

from psa_erp_assets_tests.support.demo import environ, home, summary
from psa_erp_assets_tests.support.sync import open_company

__all__ = ["environ", "home", "open_company", "summary"]
