"""`psa-erp config`: whether the company's settings are right, and how they have changed."""

from collections.abc import Sequence
from typing import NoReturn

import typer

from psa_erp_assets.cli.options import Json
from psa_erp_assets.cli.output import emit, explained, print_json, print_table, stderr, stdout
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.runtime import open_prepared
from psa_erp_assets.services.settings_versions import settings_changes
from psa_erp_assets.settings import CONFIG_FILES, ConfigError, load_settings

app = typer.Typer(help="The company's settings in data/config.", no_args_is_help=True)


@app.command()
def check(as_json: Json = False) -> None:
    """Check all settings: each mistake with its file, line and fix. Says which secrets are set, without showing one."""
    with explained():
        try:
            settings = load_settings()
        except ConfigError as error:
            _refuse(error.problems, as_json)
        unread = sorted(
            path.name
            for path in settings.config_dir.glob("*.y*ml")
            if path.suffix != ".yaml" or path.stem not in CONFIG_FILES
        )
        if unread:
            known = ", ".join(f"{name}.yaml" for name in CONFIG_FILES)
            where = settings.config_dir
            _refuse([f"{where / name}:1: nothing reads this file; name it one of {known}" for name in unread], as_json)
        connections = settings.connections
        names = [connections.psa.api_key, connections.psa.webhook_tokens, connections.crm.token]
        names += [connections.hr.api_key, connections.erp.password]
        names += [hook.secrets for hook in connections.webhooks.values()]
        told = settings.notifications
        names += [hook.secrets for route in told.routes for hook in route.webhooks]
        names += [told.mail.password] if told.mail is not None and told.mail.password is not None else []
        secrets = {name: name in settings.secrets for name in names}
        body = {
            "valid": True,
            "config": str(settings.config_dir),
            "files": list(CONFIG_FILES),
            "secrets_set": secrets,
        }

        def tables() -> None:
            stdout.print(f"The settings in {settings.config_dir} are valid.")
            print_table(
                "Secrets", ("name", "set"), [(n, "yes" if s else "no") for n, s in secrets.items()], empty="none"
            )

        emit(as_json, lambda: body, tables)


def _refuse(problems: Sequence[str], as_json: bool) -> NoReturn:
    if as_json:
        print_json({"valid": False, "problems": list(problems)})
    else:
        for problem in problems:
            stderr.print(problem, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1)


@app.command()
def changes(as_json: Json = False) -> None:
    """How the settings have changed: each version that was worked with, and its keys that differ from those before."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            found = settings_changes(connection, settings.tenant)
        rows = [
            (version.recorded_at, version.recorded_by, change.file, change.key, change.before, change.after)
            for version in found
            for change in version.changes
        ]
        columns = ("first used", "by", "file", "key", "before", "after")
        emit(
            as_json,
            lambda: [to_plain(version) for version in found],
            lambda: print_table("Changes of the settings", columns, rows, empty="none since they were first used"),
        )
