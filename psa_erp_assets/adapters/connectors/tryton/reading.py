"""Reads documents of every type, for the posting port and for the read-back alike."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psa_erp_assets.adapters.connectors.tryton import documents
from psa_erp_assets.adapters.connectors.tryton.documents import KINDS, Record
from psa_erp_assets.adapters.connectors.tryton.facts import REFERENCE, Facts
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
            if effect_type is EffectType.BILLING_LINE:
                found += self._lines(records)
            else:
                found += self._entries(company, effect_type, records)
        return found

    def keys(self, effect_type: EffectType, ids: Sequence[int]) -> dict[int, str]:
        """The keys of documents by their ids; those without one are left out. Raises a TrytonError."""
        kind = KINDS[effect_type]
        fields = [kind.stamped, *([REFERENCE] if self._facts.has_reference() else [])]
        rows = self._rpc.search(kind.model, [["id", "in", list(ids)]], fields) if ids else []
        return {row["id"]: key for row in rows if (key := documents.key_of(row, kind)) is not None}

    def _lines(self, records: Sequence[Record]) -> Iterator[Found]:
        rates = self._facts.tax_rates(tax for record in records for tax in record["taxes"])
        hour = self._facts.group().unit
        for record in records:
            key = documents.key_of(record, KINDS[EffectType.BILLING_LINE])
            yield Found(key=key, document=documents.read_billing_line(record, key or "", hour, rates), record=record)

    def _entries(self, company: int, effect_type: EffectType, records: Sequence[Record]) -> Iterator[Found]:
        # Not through the entries' own `lines`: Tryton evaluates the context of each line's account one by one,
        # which takes thirty times as long.
        journals, accounts = self._facts.group().journals, self._facts.company(company).accounts
        amount_on: dict[int, set[int]] = {}
        for record in records:
            forms = documents.forms_of(record, journals)
            if any(form.effect_type is effect_type for form in forms):
                amount_on[record["id"]] = {accounts[form.amount_on] for form in forms}
        if not amount_on:
            return
        lines = self._rpc.search(
            "account.move.line",
            [["move", "in", list(amount_on)], ["account", "in", sorted(set().union(*amount_on.values()))]],
            ["move", "account", "debit", "credit", "analytic_lines.account"],
        )
        by_entry: dict[int, list[Record]] = defaultdict(list)
        for line in lines:
            if line["account"] in amount_on[line["move"]]:
                by_entry[line["move"]].append(line)
        for record in records:
            if record["id"] in amount_on:
                record["amount_lines"] = by_entry[record["id"]]
                key = documents.key_of(record, KINDS[effect_type])
                yield Found(key=key, document=documents.read_entry(record, key or "", effect_type), record=record)
