"""States of a lake in which one thing after the other has happened to contracts, each to a contract of its own."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pandas as pd

from psa_erp_assets.adapters.lake import Lake
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES

DAY = dt.date(2026, 9, 15)
AT = dt.datetime(2026, 9, 16, tzinfo=dt.UTC)
MONTH = {"legal_entity": "UK", "service_month": "2026-09"}


class LakeBooks:
    """Rows of lake tables of the UK's September in GBP, to be added, changed, and written as one state."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._put("legal_entities", "code", code="UK", name="Ltd.", currency="GBP", country="GB",
                  time_zone="Europe/London", erp_company="2")  # fmt: skip
        self._put("company", "group_currency", group_currency="GBP")
        self._put("customers", "id", id="CUS-1", name="Acme", country="IE", crm_id="7")
        for n in (1, 2):
            self._put("employees", "id", id=f"EMP-{n}", name=f"Employee {n}", legal_entity="UK", department="Audit",
                      time_zone="Europe/London")  # fmt: skip
            self._put("cost_rates", "id", id=f"COST-{n}", employee_id=f"EMP-{n}", per_hour=Decimal(40), currency="GBP",
                      valid_from=dt.date(2026, 1, 1))  # fmt: skip

    def contract(self, name: str, *, content: str = "as signed") -> None:
        """A contract, its project and the project's rate, all under one name."""
        self._put("contracts", "id", id=name, name=name, customer_id="CUS-1", legal_entity="UK",
                  kind="time_and_materials", currency="GBP", valid_from=dt.date(2026, 1, 1),
                  content=content)  # fmt: skip
        self._put("projects", "id", id=name, code=name, name=name, psa_id=name, contract_id=name, closed=False)
        self.rate(name, "100")

    def rate(self, name: str, per_hour: str) -> None:
        """What an hour on the contract costs."""
        self._put("bill_rates", "id", id=name, project_id=name, per_hour=Decimal(per_hour), currency="GBP",
                  valid_from=dt.date(2026, 1, 1))  # fmt: skip

    def work(self, entry: str, contract: str, amount: str | None, **more: Any) -> None:
        """An approved hour and what is decided about it; without an amount it is held."""
        bill = None if amount is None else Decimal(amount)
        both = {
            **MONTH, "service_date": DAY, "employee_id": "EMP-1", "project_id": contract, "contract_id": contract,
            "minutes": 60, "outcome": "hold" if bill is None else "post", "revision": 1, "bill_amount": bill,
        } | more  # fmt: skip
        said = {name: both[name] for name in both if name in LAKE_TABLES["approved_time"].schema.names}
        self._put("approved_time", "entry_id", entry_id=entry, tenant="demo", billable=True, hold_codes=[],
                  recorded_at=AT, bill_rate_id=contract, cost_rate_id="COST-1", bill_currency="GBP",
                  cost_amount=Decimal(40), cost_currency="GBP", **said)  # fmt: skip
        self.decided(entry, "time", amount=bill, currency="GBP", **both)

    def decided(self, object_id: str, kind: str, **more: Any) -> None:
        """A decision about an object of one part."""
        said = {"recorded_as_billable": True, "minutes": 0, "service_date": DAY, **MONTH} | more
        self._put("decided_work", "object_id", object_id=object_id, part=1, kind=kind, **said)

    def forget(self, object_id: str) -> None:
        """It is not approved any more."""
        self.tables["approved_time"].pop(object_id, None)
        self.tables["decided_work"].pop(object_id, None)

    def posting(self, key: str, object_id: str, amount: str, **more: Any) -> None:
        """A posting of the ledger, in the ERP."""
        said = {
            "effect_type": "billing_line", "leg": "original", "operation": "create", "revision": 1,
            "state": "verified", "booked_as": "revenue", "minutes": 60, **MONTH,
        } | more  # fmt: skip
        self._put("postings", "key", key=key, object_id=object_id, amount=Decimal(amount), currency="GBP",
                  service_date=DAY, created_at=AT, **said)  # fmt: skip

    def line(self, erp_id: str, contract: str, amount: str, *, key: str | None, **more: Any) -> None:
        """A billing line in the ERP, on the contract's project."""
        said = {"posted": False, "minutes": 60, **MONTH} | more
        self._put("erp_billing_lines", "erp_id", erp_id=erp_id, key=key, service_date=DAY, project_code=contract,
                  net_amount=Decimal(amount), currency="GBP", **said)  # fmt: skip

    def billed(self, entry: str, contract: str, amount: str, **on_line: Any) -> None:
        """Work with its posting and its line, all under one name."""
        self.work(entry, contract, amount)
        self.posting(entry, entry, amount)
        self.line(entry, contract, amount, key=entry, **on_line)

    def reconciled(self, entry: str, contract: str, amount: str, difference: str) -> None:
        """What the reconciliation says of a line, whose amounts agree."""
        self._put("reconciliation", "entry_id", entry_id=entry, contract_id=contract, employee_id="EMP-1",
                  approved_minutes=60, erp_minutes=60, invoiced_minutes=0, approved_amount=Decimal(amount),
                  erp_amount=Decimal(amount), invoiced_amount=Decimal(0), currency="GBP", difference=difference,
                  explained=difference != "manual_change", next_step="Look.", **MONTH)  # fmt: skip

    def entry(self, table: str, erp_id: str, contract: str, amount: str, *, key: str | None) -> None:
        """A journal entry in the ERP, on the contract's project."""
        self._put(table, "erp_id", erp_id=erp_id, key=key, service_date=DAY, project_code=contract, minutes=0,
                  amount=Decimal(amount), currency="GBP", posted=True, **MONTH)  # fmt: skip

    def remove(self, table: str, key: str) -> None:
        """A row is not there any more."""
        del self.tables[table][key]

    def add(self, table: str, key: str, **row: Any) -> None:
        """Any row of any table; `key` is the column that identifies it."""
        self._put(table, key, **row)

    def change(self, table: str, key: str, **fields: Any) -> None:
        """Other values in a row that is there."""
        self.tables[table][key] |= fields

    def write(self, lake: Lake) -> None:
        """Make these rows those of the lake's tables."""
        lake.ensure_tables(LAKE_TABLES.values())
        for name, rows in self.tables.items():
            table = LAKE_TABLES[name]
            whole = [dict.fromkeys(table.schema.names) | row for row in rows.values()]
            frame = pd.DataFrame(whole, columns=list(table.schema.names), dtype=object)
            lake.replace_partition(table, frame, MONTH if table.partitioned_by else None)

    def _put(self, table: str, by: str, **row: Any) -> None:
        fields: Mapping[str, Any] = row
        self.tables[table][fields[by]] = dict(fields)
