"""The console's fixtures."""

from psa_erp_assets_tests.support.console import console, filled_console

__all__ = ["console", "filled_console"]
