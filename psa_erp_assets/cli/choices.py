"""What people decide beside the plans: credits, closed periods, and how far the rollout goes."""

import datetime as dt
from typing import Annotated

import typer

from psa_erp_assets.cli import render
from psa_erp_assets.cli.options import By, Entity, Json, Reason, check_entity
from psa_erp_assets.cli.output import emit, explained, stdout
from psa_erp_assets.domain.closed_periods import Choice
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.terms import ContractKind
from psa_erp_assets.services import credits as crediting
from psa_erp_assets.services import period_choices
from psa_erp_assets.services import rollout as rollouts
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.runtime import open_prepared
from psa_erp_assets.settings import load_settings

periods = typer.Typer()


def rollout(
    entity: Entity = None,
    kind: Annotated[ContractKind | None, typer.Option("--kind", help="Only this type of contract.")] = None,
    as_json: Json = False,
) -> None:
    """How far each legal entity and contract type are: off, in shadow or live, and what is missing until they go live.

    Compares what the plan would bill in shadow with what people billed by hand, as the ERP was last read by
    `psa-erp reconcile`. With an entity or a type, also by contract and month.
    """
    with explained():
        settings = load_settings()
        check_entity(settings, entity)
        with open_prepared(settings) as runtime:
            report = rollouts.rollout_report(
                runtime.engine,
                runtime.scope,
                today=runtime.clock().date(),
                legal_entity=entity,
                contract_kind=kind,
            )
        by_contract = entity is not None or kind is not None
        emit(as_json, lambda: render.rollout_body(report), lambda: render.rollout(report, by_contract=by_contract))


def credit(
    entry_id: Annotated[str, typer.Argument(help="A time entry's id, the PSA's or time_entry:clockify:…")],
    *,
    minutes: Annotated[int, typer.Option("--minutes", help="How many of its billed minutes were credited.")],
    rebill: Annotated[bool, typer.Option("--rebill/--write-off", help="Bill the minutes again, or never.")],
    reason: Reason,
    by: By,
    in_erp: Annotated[
        bool, typer.Option("--in-erp", help="Finance has made the credit in the ERP already; leave its line alone.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Credit some minutes of a billed entry to the customer. Only these become billable again, or are written off."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            made = crediting.request_credit(
                runtime.engine,
                runtime.scope,
                entry_id,
                minutes=minutes,
                rebill=rebill,
                in_erp=in_erp,
                reason=reason,
                requested_by=by,
                now=runtime.clock(),
            )
        emit(
            as_json,
            lambda: to_plain(made),
            lambda: stdout.print(
                f"Credit {made.id}: {minutes} minutes of {made.object_id}. The next sync carries it out.",
                highlight=False,
            ),
        )


@periods.callback(invoke_without_command=True)
def waiting(context: typer.Context, as_json: Json = False) -> None:
    """List what waits because an accounting period is closed, and what was chosen for it."""
    if context.invoked_subcommand is not None:
        return
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            found = period_choices.waiting_effects(runtime.engine, runtime.scope)
        emit(as_json, lambda: [to_plain(row) for row in found], lambda: render.waiting_effects(found))


@periods.command()
def choose(
    object_id: Annotated[str, typer.Argument(help="The object, as `psa-erp periods` prints it.")],
    *,
    effect: Annotated[EffectType, typer.Option("--effect", help="Which of its effects.")],
    choice: Annotated[
        Choice,
        typer.Option(
            "--choice",
            help="wait: until finance reopens the period; post_to_open: on a date in an open one, with a reference to "
            "its own; by_hand: somebody has journaled it; cancel: it is not to be booked at all.",
        ),
    ],
    reason: Reason,
    by: By,
    date: Annotated[
        dt.datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Where it goes, for post_to_open.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what becomes of an effect whose period is closed. The next sync carries it out; the latest choice holds."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            found = period_choices.choose(
                runtime.engine,
                runtime.scope,
                object_id,
                effect_type=effect,
                choice=choice,
                posting_date=date.date() if date is not None else None,
                reason=reason,
                chosen_by=by,
                now=runtime.clock(),
            )
        emit(
            as_json,
            lambda: to_plain(found),
            lambda: stdout.print(
                f"{effect.value} of {object_id}: {choice.value}. The next sync carries it out.", highlight=False
            ),
        )
