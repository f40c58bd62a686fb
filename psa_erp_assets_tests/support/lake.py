"""A fresh lake for a test, in a fresh catalog."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psa_erp_assets.adapters.lake import Lake


@pytest.fixture
def lake(postgres_url: str, tmp_path: Path) -> Iterator[Lake]:
    """A lake without tables."""
    with Lake(postgres_url, tmp_path / "lake") as fresh:
        yield fresh
