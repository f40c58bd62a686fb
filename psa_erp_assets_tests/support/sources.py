"""A process at the vendor sandboxes with a store of its own, and no ERP behind it."""

import datetime as dt
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine

from psa_erp_assets.sandbox.serve import SandboxServer
from psa_erp_assets.services import master_data
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.settings import load_settings

NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)


class Books:
    """An ERP that knows nothing yet."""

    def companies(self) -> list[Any]:
        return []

    def parties(self) -> list[Any]:
        return []

    def projects(self) -> list[Any]:
        return []


class MinuteClock:
    """Each reading is a minute after the one before."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        self.now += dt.timedelta(minutes=1)
        return self.now


def runtime_at(
    sandbox: SandboxServer, engine: Engine, home: Path, stack: ExitStack, *, crm_url: str | None = None
) -> Runtime:
    """The process, with the delivered settings but for addresses and keys; `crm_url` is another way to the CRM."""
    settings = load_settings({"PSA_ERP_HOME": str(home)})
    known = settings.connections
    urls = {"psa": sandbox.clockify_url, "crm": crm_url or sandbox.hubspot_url, "hr": sandbox.bamboohr_url}
    connections = known.model_copy(
        update={
            name: getattr(known, name).model_copy(update={"base_url": url, "requests_per_second": 1000})
            for name, url in urls.items()
        }
    )
    psa = connections.psa.model_copy(update={"workspace": sandbox.company.workspace_id})
    connections = connections.model_copy(update={"psa": psa})
    secrets = {
        known.psa.api_key: SecretStr(sandbox.keys.clockify),
        known.crm.token: SecretStr(sandbox.keys.hubspot),
        known.hr.api_key: SecretStr(sandbox.keys.bamboohr),
        known.erp.password: SecretStr("unused"),
    }
    made = Runtime(settings.model_copy(update={"connections": connections, "secrets": secrets}), stack, MinuteClock())
    made.engine = engine
    made.sources = master_data.Sources(psa=made.psa, crm=made.sources.crm, hr=made.sources.hr, erp=Books())
    return made
