"""`psa-erp mappings`: which record of which system is which, and who said so; conflicts, orphans and drift."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from psa_erp_assets.adapters.store import mapping_proposals as proposal_rows
from psa_erp_assets.adapters.store import mapping_stories
from psa_erp_assets.cli.options import Json, Planner, Reason, planner
from psa_erp_assets.cli.output import emit, explained, hours, print_table, stdout
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.domain.links import CANONICAL, LinkType
from psa_erp_assets.services import (
    mapping_decisions,
    mapping_effect,
    mapping_proposals,
    mapping_review,
    mapping_sources,
    ownership,
)
from psa_erp_assets.services.mapping_decisions import Outcome, Wish
from psa_erp_assets.services.mapping_effect import PlanEffect
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.runtime import Runtime, open_prepared
from psa_erp_assets.settings import load_settings

app = typer.Typer(help="Which record of which system is which, who said so, and where systems differ.")

ProposalId = Annotated[int, typer.Argument(help="A proposal's id, as `psa-erp mappings list` prints it.")]
From = Annotated[
    dt.datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], help="First day; without it the first day that is synchronized."),
]
To = Annotated[dt.datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day; without it for good.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would do to the plan, and do nothing.")]
Type = Annotated[LinkType, typer.Option("--type", help="What kind of record.")]


class State(StrEnum):
    """Where a proposal stands."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


@app.callback(invoke_without_command=True)
def main(context: typer.Context, as_json: Json = False) -> None:
    """Without a command below: what is proposed."""
    if context.invoked_subcommand is None:
        list_(state=State.PROPOSED, as_json=as_json)


@app.command(name="list")
def list_(
    state: Annotated[State, typer.Option(help="Proposals in this state.")] = State.PROPOSED,
    search: Annotated[str, typer.Option(help="A part of an id or a name.")] = "",
    decided: Annotated[bool, typer.Option("--decided", help="What stewards have decided instead.")] = False,
    as_json: Json = False,
) -> None:
    """Proposals of mappings with their score and evidence, or decisions; undone ones are marked."""
    with _runtime() as runtime, runtime.engine.connect() as connection:
        tenant = runtime.settings.tenant
        if decided:
            made = mapping_decisions.past_decisions(connection, tenant)
            rows = [
                (
                    d.id,
                    f"{d.kind}, undone" if d.undone_by else d.kind,
                    f"{d.object_type} {', '.join(d.source_ids)} → {d.canonical_id or ''}",
                    f"{d.valid_from or ''} to {d.valid_to or 'further notice'}",
                    f"{d.reason} ({d.decided_by})",
                )
                for d in made
            ]
            _show(as_json, made, "Decisions", ("id", "what", "mapping", "days", "reason"), rows)
            return
        found = [
            mapping_proposals.of_row(row)
            for row in proposal_rows.listing(connection, tenant, state=state.value, search=search, limit=1_000)
        ]
        table = [
            (
                p.id,
                f"{p.score * 100:.0f} % {p.method.replace('_', ' ')}",
                f"{p.kind.source} {p.source_name} ({p.source_id})",
                f"{p.kind.canonical} {p.canonical_name} ({p.canonical_id})",
                "; ".join(p.evidence),
            )
            for p in found
        ]
        _show(as_json, found, "Proposals", ("id", "score", "source", "stands for", "evidence"), table)


@app.command()
def propose(
    *,
    object_type: Type,
    system: Annotated[str, typer.Option("--system", help="Where the source record is: clockify or tryton.")],
    source: Annotated[str, typer.Option("--source", help="Its id there.")],
    canonical: Annotated[str, typer.Option("--canonical", help="The canonical id that it stands for.")],
    by: Planner = None,
    as_json: Json = False,
) -> None:
    """Propose a mapping by hand; somebody else accepts it."""
    with _runtime() as runtime:
        made = mapping_proposals.propose(
            runtime.engine,
            runtime.scope,
            object_type=object_type.value,
            system=system,
            source_id=source,
            canonical_id=canonical,
            actor=_actor(by),
            now=runtime.clock(),
        )
    emit(as_json, lambda: {"proposal": made}, lambda: stdout.print(f"Proposal {made}. Somebody else must accept it."))


@app.command()
def accept(
    proposal_id: ProposalId,
    *,
    reason: Reason,
    first: From = None,
    last: To = None,
    by: Planner = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Accept a proposal from a day on. Work that waited for it becomes due."""
    with _runtime() as runtime:
        days = _days(runtime, first, last)
        with runtime.engine.connect() as connection:
            wish = mapping_decisions.wish_of(
                connection, runtime.settings.tenant, proposal_id, valid_from=days[0], valid_to=days[1]
            )
        if dry_run:
            _show_effect(as_json, mapping_effect.effect_of(runtime.engine, runtime.scope, wish, now=runtime.clock()))
            return
        made = mapping_decisions.accept(
            runtime.engine,
            runtime.scope,
            proposal_id,
            actor=_actor(by),
            valid_from=days[0],
            valid_to=days[1],
            reason=reason,
            now=runtime.clock(),
        )
    _say(as_json, made, f"Proposal {proposal_id} is accepted")


@app.command()
def reject(proposal_id: ProposalId, *, reason: Reason, by: Planner = None, as_json: Json = False) -> None:
    """Reject a proposal; it is not made again."""
    with _runtime() as runtime:
        made = mapping_decisions.reject(
            runtime.engine, runtime.scope, proposal_id, actor=_actor(by), reason=reason, now=runtime.clock()
        )
    _say(as_json, made, f"Proposal {proposal_id} is rejected")


@app.command()
def split(
    sources: Annotated[list[str], typer.Argument(help="The source ids that are split off.")],
    *,
    object_type: Type,
    system: Annotated[str, typer.Option("--system", help="Where the source records are, such as clockify.")],
    canonical: Annotated[str, typer.Option("--to-canonical", help="What they stand for from then on.")],
    reason: Reason,
    first: From = None,
    last: To = None,
    by: Planner = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Let source records stand for another canonical one from a day on, whatever their exact key says."""
    with _runtime() as runtime:
        days = _days(runtime, first, last)
        wish = Wish(
            object_type=object_type.value,
            system=system,
            source_ids=tuple(sources),
            canonical_id=canonical,
            valid_from=days[0],
            valid_to=days[1],
        )
        _change(runtime, wish, reason=reason, by=by, dry_run=dry_run, as_json=as_json)


@app.command()
def merge(
    sources: Annotated[list[str], typer.Argument(help="The canonical ids whose place is taken.")],
    *,
    object_type: Type,
    into: Annotated[str, typer.Option("--into", help="The canonical id that takes their place.")],
    reason: Reason,
    first: From = None,
    last: To = None,
    by: Planner = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Let one record take the place of others from a day on."""
    with _runtime() as runtime:
        days = _days(runtime, first, last)
        wish = Wish(
            object_type=object_type.value,
            system=CANONICAL,
            source_ids=tuple(sources),
            canonical_id=into,
            valid_from=days[0],
            valid_to=days[1],
            method=mapping_stories.MERGE,
        )
        _change(runtime, wish, reason=reason, by=by, dry_run=dry_run, as_json=as_json)


@app.command()
def undo(
    decision_id: Annotated[int, typer.Argument(help="A decision's id: `psa-erp mappings list --decided`.")],
    *,
    reason: Reason,
    by: Planner = None,
    as_json: Json = False,
) -> None:
    """Bring back what held before a decision, by a new one."""
    with _runtime() as runtime:
        made = mapping_decisions.undo(
            runtime.engine, runtime.scope, decision_id, actor=_actor(by), reason=reason, now=runtime.clock()
        )
    _say(as_json, made, f"Decision {decision_id} is undone")


@app.command()
def conflicts(as_json: Json = False) -> None:
    """Statements about mappings that contradict each other, and what ends each."""
    with _runtime() as runtime, runtime.engine.connect() as connection:
        found = mapping_review.conflicts(mapping_sources.load(connection, runtime.scope))
    rows = [(c.object_type, c.system, c.subject, c.detail, c.step) for c in found]
    _show(as_json, found, "Conflicts", ("type", "system", "about", "what contradicts", "next step"), rows)


@app.command()
def orphans(as_json: Json = False) -> None:
    """Source records that map to nothing, and canonical ones that nothing refers to."""
    with _runtime() as runtime, runtime.engine.connect() as connection:
        found = mapping_review.orphans(mapping_sources.load(connection, runtime.scope))
    rows = [(o.what, o.system, o.id, o.name, o.detail) for o in found]
    _show(as_json, found, "Orphans", ("what", "system", "id", "name", "why"), rows)


@app.command()
def drift(as_json: Json = False) -> None:
    """Fields of which two systems say different things: both values, whose counts, and what to do."""
    with _runtime() as runtime, runtime.engine.connect() as connection:
        found = ownership.drift_report(connection, runtime.scope, limit=10_000)
    rows = [
        (d.entity, d.canonical_id, d.field, f"{d.owner_system}: {d.owner_value or ''}",
         f"{d.other_system}: {d.other_value or ''}", d.on_change, d.step)
        for d in found
    ]  # fmt: skip
    _show(as_json, found, "Drift", ("record", "id", "field", "owner", "other", "then", "what to do"), rows)


@contextmanager
def _runtime() -> Iterator[Runtime]:
    with explained(), open_prepared(load_settings()) as runtime:
        yield runtime


def _actor(by: str | None) -> Actor:
    """Whoever has this machine's command line may do everything, under the name that they give."""
    name = planner(by)
    return Actor(id=name, name=name, grants=frozenset(Grant(role) for role in Role))


def _days(runtime: Runtime, first: dt.datetime | None, last: dt.datetime | None) -> tuple[dt.date, dt.date | None]:
    return first.date() if first else runtime.scope.first_day, last.date() if last else None


def _change(runtime: Runtime, wish: Wish, *, reason: str, by: str | None, dry_run: bool, as_json: bool) -> None:
    if dry_run:
        _show_effect(as_json, mapping_effect.effect_of(runtime.engine, runtime.scope, wish, now=runtime.clock()))
        return
    decide = mapping_decisions.merge if wish.system == CANONICAL else mapping_decisions.split
    made = decide(runtime.engine, runtime.scope, wish, actor=_actor(by), reason=reason, now=runtime.clock())
    _say(as_json, made, f"From {wish.valid_from} on {', '.join(wish.source_ids)} stand for {wish.canonical_id}")


def _say(as_json: bool, made: Outcome, what: str) -> None:
    text = f"{what} (decision {made.decision_id}). The next sync plans the work that it concerns."
    emit(as_json, lambda: to_plain(made), lambda: stdout.print(text, highlight=False))


def _show(
    as_json: bool, found: Sequence[Any], title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    emit(as_json, lambda: [to_plain(row) for row in found], lambda: print_table(title, columns, rows, empty="none"))


def _show_effect(as_json: bool, effect: PlanEffect) -> None:
    def tables() -> None:
        stdout.print(
            f"Released: {effect.released} pieces of work, {hours(effect.released_minutes)} hours. Decided otherwise:"
            f" {effect.changed} of {effect.looked_at}. Moved: {effect.moved}.",
            highlight=False,
        )
        held = [("still", code, n) for code, n in effect.still_held.items()]
        held += [("newly", code, n) for code, n in effect.newly_held.items()]
        print_table("Held", ("since", "code", "items"), held, empty="nothing")
        rows = [
            (a.contract_id, a.effect_type, a.currency, a.before, a.after, a.after - a.before) for a in effect.amounts
        ]
        print_table("Amounts", ("contract", "effect", "", "now", "then", "difference"), rows, empty="no change")

    emit(as_json, lambda: to_plain(effect), tables)
