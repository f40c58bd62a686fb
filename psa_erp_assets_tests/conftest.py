"""Fixtures for every test folder come from the plugin modules in `support`."""

pytest_plugins = [
    "psa_erp_assets_tests.support.postgres",
    "psa_erp_assets_tests.support.lake",
    "psa_erp_assets_tests.support.tryton",
    "psa_erp_assets_tests.support.reporting_store",
]
