"""The `psa-erp` command: every use case from the terminal, for people (tables) and for scripts (`--json`)."""

from psa_erp_assets.cli.app import main

__all__ = ["main"]
