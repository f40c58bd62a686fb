"""Erase personal data, on somebody's request or when its time has come, so that the audit log stays verifiable.

What a newer version has replaced goes at once. What the books rest on goes when the law does not keep it any more, all
of a person's together: a name that stood in half of the lines would make the others look wrong.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.lake import Lake
from psa_erp_assets.adapters.store import audit_entries, audit_erasures, audit_leaves
from psa_erp_assets.adapters.store.audit_erasures import Erasable, Named
from psa_erp_assets.domain.audit import digest
from psa_erp_assets.domain.erasure import Person
from psa_erp_assets.services import audit_log
from psa_erp_assets.services.audit_log import AuditLogError
from psa_erp_assets.settings import Settings

_DAYS_A_MONTH = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """How many rows of each table were erased, and how many are kept because invoices rest on them.

    `kept_until` is the first day on which an erasure takes those; None where nothing is kept, or where as many as
    `unsettled` postings of theirs wait for something. `in_lake` is how many rows of each table of the lake were
    rewritten, `lake_states_kept` whether older states of the lake still have them, until maintenance forgets those.
    """

    erased: Mapping[str, int]
    kept: Mapping[str, int]
    kept_until: dt.date | None
    unsettled: int
    in_lake: Mapping[str, int]
    lake_states_kept: bool


def erase_person(
    engine: Engine,
    settings: Settings,
    person: str,
    *,
    reason: str,
    actor: str,
    now: dt.datetime,
    lake: Lake | None = None,
    forget_states: bool = False,
) -> ErasureReport:
    """Erase what is kept of a person and may go. `person` is the id that the PSA has for them.

    Goes at once: every payload, description and record that a newer one has replaced, and their values in audit
    entries. Goes once the years of `retention.books_years` after their last piece of work are over: everything that
    names them or that they wrote, in every table and in the `lake`, whose older states stay for as long as it keeps
    them, unless `forget_states` is set. Ids, times and amounts stay. Seals the log first and afterwards. Raises
    AuditLogError without a reason, and where the log disagrees.
    """
    if not person.strip() or not reason.strip():
        raise AuditLogError("an erasure needs the id of a person, and a reason")
    audit_log.seal(engine, settings, now=now)
    with engine.connect() as connection:
        whom = audit_erasures.person(connection, settings.tenant, person)
        until = _kept_until(connection, settings, whom)
        unsettled = audit_erasures.unsettled(connection, settings.tenant, whom)
    whole = not unsettled and (until is None or now.date() >= until)
    # The lake first: its rows come from the store, where the name can be found for as long as something has gone wrong.
    in_lake = lake.replace_texts(_spellings(whom)) if whole and lake is not None else {}
    with engine.begin() as connection:
        audit_leaves.locked_tree(connection, settings.tenant)
        choose = audit_erasures.everything_of if whole else audit_erasures.replaced_of
        wanted = choose(connection, settings.tenant, whom)
        counts = _erase(connection, settings, whom, wanted, reason=reason.strip(), actor=actor, now=now)
        kept = {} if whole else _kept(connection, settings.tenant, whom)
    audit_log.seal(engine, settings, now=now)
    if in_lake and forget_states and lake is not None:
        lake.maintain(keep=dt.timedelta(0))
    return ErasureReport(
        erased=counts,
        kept=kept,
        kept_until=until if kept and not unsettled else None,
        unsettled=unsettled,
        in_lake=in_lake,
        lake_states_kept=bool(in_lake) and not forget_states,
    )


def expire(engine: Engine, settings: Settings, *, now: dt.datetime) -> int:
    """Erase what is older than the settings' retention and replaced by newer versions; answers with how many rows."""
    months = settings.policies.retention.payload_months
    if months is None:
        return 0
    day = now - dt.timedelta(days=months * _DAYS_A_MONTH)
    with engine.begin() as connection:
        audit_leaves.locked_tree(connection, settings.tenant)
        wanted = audit_erasures.older_than(connection, settings.tenant, day)
        if wanted:
            entry_id = audit_entries.append(
                connection,
                settings.tenant,
                kind="erasure.retention",
                subject="retention",
                actor="psa-erp",
                detail={"before": day.isoformat(), "rows": _counts(wanted)} | _erased(_named(wanted)),
                now=now,
            )
            audit_erasures.erase(connection, settings.tenant, wanted, entry_id=entry_id, whose=None)
    return len(wanted)


def _erase(
    connection: Connection,
    settings: Settings,
    whom: Person,
    wanted: Sequence[Erasable],
    *,
    reason: str,
    actor: str,
    now: dt.datetime,
) -> dict[str, int]:
    tenant, counts = settings.tenant, _counts(wanted)

    def note(kind: str, detail: Mapping[str, Any]) -> int:
        return audit_entries.append(
            connection, tenant, kind=kind, subject=f"person:{whom.id}", actor=actor, detail=detail, now=now
        )

    entry_id = note("erasure.person", {"reason": reason, "rows": counts} | _erased(_named(wanted)))
    audit_erasures.erase(connection, tenant, wanted, entry_id=entry_id, whose=whom.id)
    # What these say since can only be told now, and the entry of before cannot be changed.
    said = audit_erasures.explanations(connection, tenant, wanted)
    if said:
        explained_by = note("erasure.explained", {"of": entry_id, "entries": len(said)} | _erased(said))
        audit_erasures.name(connection, tenant, said, entry_id=explained_by)
    return counts


def _kept(connection: Connection, tenant: str, whom: Person) -> dict[str, int]:
    return _counts(audit_erasures.everything_of(connection, tenant, whom))


def _kept_until(connection: Connection, settings: Settings, whom: Person) -> dt.date | None:
    """The day from which on the law does not keep anything of theirs; None for somebody who has left nothing."""
    last = audit_erasures.last_day(connection, settings.tenant, whom)
    return None if last is None else dt.date(last.year + settings.policies.retention.books_years + 1, 1, 1)


def _spellings(whom: Person) -> dict[str, str]:
    """What stands for each spelling of them, and for what they wrote where it is long enough to be only theirs."""
    wrote = {text for texts in whom.texts.values() for text in texts}
    return whom.replacements | {text: whom.described(text, "") for text in wrote if whom.is_only_theirs(text)}


def _counts(wanted: Sequence[Erasable]) -> dict[str, int]:
    return dict(Counter(one.source for one in wanted))


def _named(wanted: Sequence[Erasable]) -> list[Named]:
    return [one.named for one in wanted if one.named is not None]


def _erased(named: Sequence[Named]) -> dict[str, str]:
    """What the entry says about the rows, so that neither can be changed afterwards; nothing where there are none."""
    if not named:
        return {}
    return {"erased": audit_leaves.erased_digest((s, ref, digest(replacement)) for s, ref, replacement in named)}
