"""Reads documents of either kind, for the posting port and for the read-back alike."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psa_erp_assets.adapters.connectors.tryton import documents
from psa_erp_assets.adapters.connectors.tryton.documents import KINDS, Record
from psa_erp_assets.adapters.connectors.tryton.facts import Facts
from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import ErpDocument

# So many records in one search: an answer of a few hundred kilobytes, well within its time-out.
_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A document and the record that it was read from. `key` is None for what does not carry one."""

    key: str | None
    document: ErpDocument
    record: Record


class Reader:
    """Finds documents by a domain. Threads may share it."""

    def __init__(self, rpc: TrytonRpc, facts: Facts) -> None:
        self._rpc, self._facts = rpc, facts

    def find(
        self, company: int, effect_type: EffectType, domain: Sequence[Any], *, more_fields: Sequence[str] = ()
    ) -> list[Found]:
        """The company's documents of a type in `domain`, in no order. Raises a TrytonError or SetupMissingError."""
        kind = KINDS[effect_type]
        ids = [row["id"] for row in self._rpc.search(kind.model, [["company", "=", company], *domain], ["id"])]
        fields = [*kind.fields_with(reference=self._facts.has_reference()), *more_fields]
        found: list[Found] = []
        for page in (ids[i : i + _PAGE] for i in range(0, len(ids), _PAGE)):
            # A record that has gone since is simply not found a second time; `read` would refuse the whole page.
            records = self._rpc.search(kind.model, [["id", "in", page]], fields)
            if effect_type is EffectType.COST_TRANSACTION:
                found += self._costs(company, records)
            else:
                found += self._lines(records)
        return found

    def _lines(self, records: Sequence[Record]) -> Iterator[Found]:
        rates = self._facts.tax_rates(tax for record in records for tax in record["taxes"])
        for record in records:
            key = documents.key_of(record, KINDS[EffectType.BILLING_LINE])
            yield Found(key=key, document=documents.read_billing_line(record, key or "", rates), record=record)

    def _costs(self, company: int, records: Sequence[Record]) -> Iterator[Found]:
        # Not through the entries' own `lines`: Tryton evaluates the context of each line's account one by one,
        # which takes thirty times as long.
        account = self._facts.company(company).delivery_cost
        lines = self._rpc.search(
            "account.move.line",
            [["move", "in", [record["id"] for record in records]], ["account", "=", account]],
            ["move", "debit", "credit", "analytic_lines.account"],
        )
        by_entry: dict[int, list[Record]] = defaultdict(list)
        for line in lines:
            by_entry[line["move"]].append(line)
        for record in records:
            record["cost_lines"] = by_entry[record["id"]]
            key = documents.key_of(record, KINDS[EffectType.COST_TRANSACTION])
            yield Found(key=key, document=documents.read_cost_transaction(record, key or ""), record=record)
