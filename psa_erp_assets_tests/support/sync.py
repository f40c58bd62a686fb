"""The whole way from the sandboxes into a real Tryton, with settings of its own, for tests of what becomes of it."""

import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from psa_erp_assets.adapters.connectors.tryton.read_back import BookedDocument
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.money import Money
from psa_erp_assets.sandbox.serve import SandboxServer
from psa_erp_assets.sandbox.tryton.build import SYNC_USER
from psa_erp_assets.services import read_back, reconciliation, refresh, sync
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.runtime import Runtime, open_runtime
from psa_erp_assets.settings import REPOSITORY, load_settings
from psa_erp_assets_tests.support.postgres import sync_databases
from psa_erp_assets_tests.support.tryton import RunningTryton

_numbers = itertools.count(1)

Line = tuple[Any, ...]
"""What a document in the books says, but for its key and id: company, type, month, party, project, currency, text."""


@dataclass(frozen=True)
class Company:
    """One tenant with its sources, its store and its ERP."""

    runtime: Runtime
    sandbox: SandboxServer
    tryton: RunningTryton
    config: Path

    def sync(self) -> Counter[str]:
        """Read everything, then plan and send what that touched; how many plan items of each action there were."""
        refresh.refresh_all(self.runtime)
        sync.sweep(self.runtime, complete=True)
        sync.sweep_milestones(self.runtime)
        sync.mark_touched(self.runtime)
        done: Counter[str] = Counter()
        for partition, contracts in sync.touched_partitions(self.runtime).items():
            settled = sync.sync_partition(self.runtime, partition, created_by="test", contracts=contracts)
            for (action, _), count in settled.actions.items():
                done[action] += count
        return done

    def books(self, kind: EffectType) -> list[Line]:
        """Every document of a kind in every company, sorted, with its minutes, amount and tax at the end."""
        return sorted(
            (
                *_what(company, booked),
                booked.document.minutes,
                booked.document.amount.amount,
                booked.document.tax_amount,
            )
            for company in self.tryton.companies.values()
            for booked in self._read(company, kind)
        )

    def net(self, kind: EffectType) -> dict[Line, tuple[int, Decimal]]:
        """Minutes and amounts by all that the documents say; what nets to nothing is left out."""
        totals: dict[Line, tuple[int, Decimal]] = {}
        for *what, minutes, amount, _ in self.books(kind):
            before = totals.get(tuple(what), (0, Decimal(0)))
            totals[tuple(what)] = before[0] + minutes, before[1] + amount
        return {what: total for what, total in totals.items() if total != (0, 0)}

    def totals(self, kind: EffectType) -> Counter[tuple[str, str]]:
        """Minutes and minor units by company and currency, as the ERP has them."""
        totals: Counter[tuple[str, str]] = Counter()
        for company, *_, currency, minutes, amount, _ in self.books(kind):
            totals[company, "minutes"] += minutes
            totals[company, currency] += Money(amount, currency).minor_units()
        return totals

    def wanted(self, kind: EffectType) -> Counter[tuple[str, str]]:
        """Minutes and minor units by company and currency, as the current facts would have them."""
        totals: Counter[tuple[str, str]] = Counter()
        with self.runtime.engine.connect() as connection:
            effects = [
                decision.effect(kind)
                for partition in sync.all_partitions(self.runtime)
                for decision in decide_partition(connection, self.runtime.scope, partition).decisions
            ]
        for effect in filter(None, effects):
            totals[effect.erp_company, "minutes"] += effect.minutes
            totals[effect.erp_company, effect.amount.currency] += effect.amount.minor_units()
        return totals

    def invoice(self) -> None:
        """Finance invoices and posts all drafts of all companies, and posts the cost entries."""
        for company in self.tryton.companies.values():
            last = ServiceMonth(2026, 10).last_day
            invoices = self.tryton.finance.invoice_lines(company, on=last)
            self.tryton.finance.post_invoices(company, invoices)
            for month in (ServiceMonth(2026, 9), ServiceMonth(2026, 10)):
                self.tryton.finance.post_moves(company, self.tryton.finance.draft_moves(company, month))

    def charge(self, legal_entity: str, tax: str) -> None:
        """From now on the settings say that the entity charges this tax to all of its customers."""
        profiles = [
            p.model_copy(update={"erp_tax": tax}) if p.legal_entity == legal_entity else p
            for p in self.runtime.settings.tax_profiles
        ]
        self.runtime.settings = self.runtime.settings.model_copy(update={"tax_profiles": tuple(profiles)})

    def reconciled(self) -> Counter[str]:
        """Read back and reconcile everything; how many rows there are of each class."""
        classes: Counter[str] = Counter()
        for partition in sync.all_partitions(self.runtime):
            read_back.read_back(self.runtime, partition)
            found = reconciliation.reconcile(self.runtime, partition)
            classes.update(row.difference.value for row in found.rows)
            minutes = found.minutes
            parts = minutes.billed + minutes.non_billable + minutes.held + minutes.pending
            assert parts == minutes.approved
        return classes

    def open_items(self, code: str) -> set[str]:
        """The objects of the open exception items of a code."""
        with self.runtime.engine.connect() as connection:
            items = exceptions.list_items(connection, self.runtime.settings.tenant, code=code)
        return {item["object_id"] for item in items}

    def _read(self, company: str, kind: EffectType) -> list[BookedDocument]:
        reader = self.runtime.erp_reader
        read = {
            EffectType.BILLING_LINE: reader.billing_lines,
            EffectType.COST_TRANSACTION: reader.cost_transactions,
            EffectType.INTERCOMPANY_CHARGE: reader.intercompany_charges,
            EffectType.REVENUE_ENTRY: reader.revenue_entries,
        }[kind]
        return list(read(company, ServiceMonth(2026, 9), ServiceMonth(2026, 10)))


Open = Callable[[SandboxServer, RunningTryton], Company]


@pytest.fixture(scope="module")
def open_company(postgres_server: ServerInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Makes tenants, each with a store and settings of its own at the sandbox and the Tryton that it is given."""
    with sync_databases(postgres_server), ExitStack() as stack:

        def make(sandbox: SandboxServer, tryton: RunningTryton) -> Company:
            home = tmp_path_factory.mktemp("home")
            config = home / "config"
            shutil.copytree(REPOSITORY / "data" / "config", config)
            _edit(config / "company.yaml", tenant=f"tenant-{next(_numbers)}")
            connections = yaml.safe_load((config / "connections.yaml").read_text(encoding="utf-8"))
            connections["psa"] |= {"base_url": sandbox.clockify_url, "workspace": sandbox.company.workspace_id}
            connections["crm"]["base_url"], connections["hr"]["base_url"] = sandbox.hubspot_url, sandbox.bamboohr_url
            connections["milestones"]["base_url"] = sandbox.kantata_url
            for name in ("psa", "crm", "hr", "milestones"):
                connections[name]["requests_per_second"] = 1000
            connections["erp"] |= {"base_url": tryton.server.url, "database": tryton.server.database}
            _edit(config / "connections.yaml", **connections)
            settings = load_settings(
                {
                    "PSA_ERP_HOME": str(home),
                    "PSA_ERP_CONFIG": str(config),
                    "PSA_ERP_DATABASE_URL": postgres_server.url("postgres"),
                    connections["psa"]["api_key"]: sandbox.keys.clockify,
                    connections["crm"]["token"]: sandbox.keys.hubspot,
                    connections["hr"]["api_key"]: sandbox.keys.bamboohr,
                    connections["milestones"]["token"]: sandbox.keys.kantata,
                    connections["erp"]["password"]: tryton.server.credentials.passwords[SYNC_USER],
                }
            )
            return Company(stack.enter_context(open_runtime(settings)), sandbox, tryton, config)

        yield make


def _what(company: str, booked: BookedDocument) -> Line:
    document = booked.document
    return (company, str(document.date), booked.party or "", booked.analytic or "", document.amount.currency)


def _edit(path: Path, **changes: Any) -> None:
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(body | changes), encoding="utf-8")
