"""Dagster's home and the configuration that is put into it."""

from pathlib import Path

import dagster as dg
import pytest

from psa_erp_assets.defs.home import URL_VARIABLE, prepare_dagster_home


def test_an_instance_of_it_keeps_everything_in_postgresql(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a word of the configuration misspelled, no Dagster process would start; with SQLite, they would block."""
    home, variables = prepare_dagster_home(tmp_path / "dagster", postgres_url)
    monkeypatch.setenv(URL_VARIABLE, variables[URL_VARIABLE])
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_runs() == []
        assert "Postgres" in type(instance.run_storage).__name__
        assert not instance.telemetry_enabled


def test_the_password_is_in_no_file(tmp_path: Path) -> None:
    """Files are copied into backups and bug reports; the environment is not."""
    home, variables = prepare_dagster_home(tmp_path, "postgresql://user:hush@127.0.0.1:1/x")
    assert variables["DAGSTER_HOME"] == str(home)
    assert all("hush" not in file.read_text(encoding="utf-8") for file in home.iterdir())
