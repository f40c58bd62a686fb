"""`psa-erp exceptions` and `psa-erp replay`: what is in trouble, by cause, and what people do about it."""

import datetime as dt
import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from psa_erp_assets.cli.options import Entity, Json, planner
from psa_erp_assets.cli.output import emit, explained, fail, hours, print_json, print_table, progress, stdout
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.domain.exception_duties import Priority
from psa_erp_assets.domain.faults import FAULTS, FaultClass, Owner
from psa_erp_assets.services import exception_cases as cases
from psa_erp_assets.services import exception_work, sync
from psa_erp_assets.services import replay as replays
from psa_erp_assets.services.exception_export import to_csv, to_json
from psa_erp_assets.services.exception_work import Chosen, Done, Work
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.runtime import Runtime, open_prepared
from psa_erp_assets.services.trace import NotFoundError
from psa_erp_assets.settings import load_settings

app = typer.Typer()

What = Annotated[str, typer.Argument(help="An exception's number, or a group as CODE/CAUSE as `list` prints it.")]
Who = Annotated[str | None, typer.Option("--by", help="Who you are, for the record; else whoever is logged in.")]
Why = Annotated[str, typer.Option("--why", help="Why, for the record.")]
RequestId = Annotated[int, typer.Argument(help="A request's number.")]
OwnerOption = Annotated[Owner | None, typer.Option("--owner", help="Only what this owner clears.")]
ClassOption = Annotated[FaultClass | None, typer.Option("--class", help="Only this class.")]
Assignee = Annotated[str | None, typer.Option("--assignee", help="Only what is this person's; '' for nobody's.")]
Overdue = Annotated[bool, typer.Option("--overdue", help="Only what is later than its class allows.")]
Search = Annotated[str | None, typer.Option("--search", help="Part of the object's id, the detail or the cause.")]
Code = Annotated[str | None, typer.Option("--code", help="Only this code.")]
ResolvedOption = Annotated[bool, typer.Option("--resolved", help="Resolved items instead of open ones.")]


class Form(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSON = "json"


@app.callback(invoke_without_command=True)
def exceptions(context: typer.Context, code: Code = None, as_json: Json = False) -> None:
    """Open exceptions by cause, each with its owner and next step. Without a command below: all groups."""
    if context.invoked_subcommand is not None:
        return
    _check_code(code)
    _show_groups(cases.Wanted(group=code), with_items=code is not None or as_json, as_json=as_json)


@app.command(name="list")
def list_(
    *,
    code: Code = None,
    owner: OwnerOption = None,
    fault_class: ClassOption = None,
    entity: Entity = None,
    assignee: Assignee = None,
    overdue: Overdue = False,
    search: Search = None,
    resolved: ResolvedOption = False,
    as_json: Json = False,
) -> None:
    """Exceptions one by one, oldest first, or resolved ones, latest first: the first hundred."""
    _check_code(code)
    wanted = cases.Wanted(
        group=code,
        fault_class=fault_class,
        owner=owner,
        legal_entity=entity,
        assignee=assignee,
        overdue=overdue,
        search=search,
        resolved=resolved,
    )
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            found = cases.list_cases(connection, runtime.scope, wanted, entities=None, now=runtime.clock())
        emit(as_json, lambda: to_json(found), lambda: _cases(found))


@app.command()
def group(
    name: Annotated[str, typer.Argument(help="CODE/CAUSE, as the groups are printed.")], as_json: Json = False
) -> None:
    """One cause: how much it holds, whose it is, and its items."""
    _show_groups(cases.Wanted(group=name), with_items=True, as_json=as_json)


@app.command()
def show(number: Annotated[int, typer.Argument(help="The exception's number.")], as_json: Json = False) -> None:
    """One exception with its evidence, notes, requests, and what can be done about it."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            story = cases.case_story(connection, runtime.scope, number, entities=None, now=runtime.clock())
        emit(as_json, lambda: to_plain(story), lambda: _story(story))


@app.command()
def assign(
    what: What,
    to: Annotated[str, typer.Argument(help="Whose it is from now on; '' for nobody's.")],
    by: Who = None,
    as_json: Json = False,
) -> None:
    """Give an exception or a whole group to somebody."""
    _do(by, as_json, lambda work: exception_work.assign(work, _chosen(what), to or None))


@app.command()
def note(
    what: What, text: Annotated[str, typer.Argument(help="The note.")], by: Who = None, as_json: Json = False
) -> None:
    """Write a note to an exception or to each of a group."""
    _do(by, as_json, lambda work: exception_work.note(work, _chosen(what), text))


@app.command()
def prioritize(
    what: What,
    priority: Annotated[Priority | None, typer.Argument(help="How urgent; left out: by the rule again.")] = None,
    by: Who = None,
    as_json: Json = False,
) -> None:
    """Say how urgent an exception or a group is."""
    _do(by, as_json, lambda work: exception_work.prioritize(work, _chosen(what), priority))


@app.command()
def retry(what: What, why: Why, by: Who = None, as_json: Json = False) -> None:
    """Let rejected postings be sent again, and conflicts and duplicates be looked up again, with their keys."""
    _do(by, as_json, lambda work: exception_work.retry(work, _chosen(what), why))


@app.command()
def resolve(what: What, why: Why, by: Who = None, as_json: Json = False) -> None:
    """Resolve by hand. It opens again when its cause has gone and comes back."""
    _do(by, as_json, lambda work: exception_work.resolve(work, _chosen(what), why))


@app.command(name="write-off")
def write_off(what: What, why: Why, by: Who = None, as_json: Json = False) -> None:
    """Ask that the held billing of work be given up. Somebody else approves it."""
    _do(by, as_json, lambda work: exception_work.ask_write_off(work, _chosen(what), why))


@app.command(name="new-key")
def new_key(what: What, why: Why, by: Who = None, as_json: Json = False) -> None:
    """Ask that what has gone from the ERP be posted again under a new key. Somebody else approves it."""
    _do(by, as_json, lambda work: exception_work.ask_new_key(work, _chosen(what), why))


@app.command()
def requests(as_json: Json = False) -> None:
    """What waits for a second person, or for its confirmation."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            found = cases.list_requests(connection, runtime.scope, waiting=True)
        rows = [(r.id, r.kind, len(r.item_ids), r.requested_by, r.requested_at, r.reason) for r in found]
        columns = ("request", "kind", "items", "by", "at", "why")
        emit(
            as_json,
            lambda: [to_plain(r) for r in found],
            lambda: print_table("Requests", columns, rows, empty="nothing waits"),
        )


@app.command()
def approve(request_id: RequestId, why: Why, by: Who = None, as_json: Json = False) -> None:
    """Approve what somebody else has asked for; it is done at once."""
    _decide(request_id, why, by=by, approve=True, as_json=as_json)


@app.command()
def reject(request_id: RequestId, why: Why, by: Who = None, as_json: Json = False) -> None:
    """Reject what somebody else has asked for."""
    _decide(request_id, why, by=by, approve=False, as_json=as_json)


@app.command()
def export(
    *,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write; else it is printed.")] = None,
    form: Annotated[Form, typer.Option("--as", help="What to write.")] = Form.CSV,
    code: Code = None,
    owner: OwnerOption = None,
    entity: Entity = None,
    resolved: ResolvedOption = False,
    as_json: Json = False,
) -> None:
    """All exceptions as CSV or JSON. In CSV a text that a spreadsheet would calculate begins with an apostrophe."""
    _check_code(code)
    wanted = cases.Wanted(group=code, owner=owner, legal_entity=entity, resolved=resolved)
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            found = cases.list_cases(connection, runtime.scope, wanted, entities=None, now=runtime.clock(), limit=None)
        if to is None and (as_json or form is Form.JSON):
            print_json(to_json(found))
            return
        if to is None:
            typer.echo(to_csv(found), nl=False)
            return
        with to.open("w", encoding="utf-8", newline="") as file:
            file.write(to_csv(found) if form is Form.CSV else _json_text(found))
        body = {"file": str(to), "items": len(found)}
        emit(as_json, lambda: body, lambda: stdout.print(f"{len(found)} exceptions in {to}.", highlight=False))


def replay(
    what: Annotated[
        str, typer.Argument(help="An exception's number, a group as CODE/CAUSE, or an object's id as in `list`.")
    ],
    why: Why,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking, after showing the difference.")] = False,
    by: Who = None,
    as_json: Json = False,
) -> None:
    """Plan the contract months of exceptions anew, show the difference, and carry it out when confirmed."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            work = _work(runtime, by)
            with progress() as bar:
                task = bar.add_task("planning", total=None)
                seen = replays.preview(
                    work,
                    _of_object(runtime, what),
                    why,
                    on_plan=lambda done, of: bar.update(task, completed=done, total=of),
                )
            if not as_json:
                _difference(seen)
            confirmed = seen.acting and (yes or (not as_json and typer.confirm("Do what is shown?")))
            done = replays.confirm(work, seen.request) if confirmed else None
            for partition in done.partitions if done is not None else ():
                sync.send(runtime, partition)
    if as_json:
        print_json({"replay": to_plain(seen), "done": to_plain(done) if done is not None else None})
    elif done is not None:
        stdout.print(f"Replay {done.request}: {done.postings} postings.", highlight=False)
        for skipped in done.skipped:
            stdout.print(f"Left out: {skipped}.", highlight=False)
    elif not seen.acting:
        stdout.print("Nothing would change, so that nothing was done.")
    else:
        stdout.print("Nothing was done.")


def _json_text(found: tuple[cases.Case, ...]) -> str:
    """The items as a JSON document."""
    return json.dumps(to_json(found), indent=2, ensure_ascii=False) + "\n"


def _work(runtime: Runtime, by: str | None) -> Work:
    """Whoever has this machine's command line may do everything, under the name that they give."""
    name = planner(by)
    actor = Actor(id=name, name=name, grants=frozenset(Grant(role) for role in Role))
    return Work(runtime.engine, runtime.scope, actor, runtime.clock())


def _chosen(what: str) -> Chosen:
    if what.isdecimal():
        return Chosen(ids=(int(what),))
    if what.partition("/")[0] not in FAULTS:
        fail(f"{what!r} is no exception's number and no group", "`psa-erp exceptions` prints the groups as CODE/CAUSE.")
    return Chosen(group=what)


def _of_object(runtime: Runtime, what: str) -> Chosen:
    """The open items of an object, where it is one."""
    if what.isdecimal() or what.partition("/")[0] in FAULTS:
        return _chosen(what)
    with runtime.engine.connect() as connection:
        found = cases.list_cases(
            connection, runtime.scope, cases.Wanted(search=what), entities=None, now=dt.datetime.now(dt.UTC)
        )
    ids = tuple(c.id for c in found if what in (c.object_id, c.object_id.rpartition(":")[2]))
    if not ids:
        raise NotFoundError(f"no open exception is about {what!r}")
    return Chosen(ids=ids)


def _do(by: str | None, as_json: bool, action: Callable[[Work], Done]) -> None:
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            done = action(_work(runtime, by))
    emit(as_json, lambda: to_plain(done), lambda: _told(done))


def _decide(request_id: int, why: str, *, by: str | None, approve: bool, as_json: bool) -> None:
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            ended = exception_work.decide(_work(runtime, by), request_id, approve=approve, note=why)
    text = f"Request {ended.id} ({ended.kind}) is {ended.state}."
    emit(as_json, lambda: to_plain(ended), lambda: stdout.print(text, highlight=False))


def _check_code(code: str | None) -> None:
    if code is not None and code not in FAULTS:
        fail(f"there is no code {code!r}", f"Codes are {', '.join(sorted(FAULTS))}.")


def _show_groups(wanted: cases.Wanted, *, with_items: bool, as_json: bool) -> None:
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            now = runtime.clock()
            groups = cases.list_groups(connection, runtime.scope, wanted, entities=None, now=now)
            limit = None if as_json else cases.PAGE_SIZE
            items = (
                cases.list_cases(connection, runtime.scope, wanted, entities=None, now=now, limit=limit)
                if with_items
                else ()
            )
    if as_json:
        print_json({"groups": [to_plain(g) for g in groups], "items": to_json(items)})
        return
    print_table(
        "Open exceptions",
        ("group", "items", "late", "hours", "priority", "owner", "next step"),
        [(g.name, g.items, g.overdue, hours(g.minutes), g.priority.value, g.owner.value, g.next_step) for g in groups],
        empty="none",
    )
    if with_items:
        _cases(items)


def _cases(found: tuple[cases.Case, ...]) -> None:
    rows = [
        (
            str(c.id),
            c.object_id,
            c.code,
            c.legal_entity,
            c.service_month,
            c.detail,
            c.assignee,
            "late" if c.overdue else c.priority.value,
        )
        for c in found
    ]
    columns = ("no.", "object", "code", "entity", "month", "detail", "whose", "priority")
    print_table("Items", columns, rows, empty="none")


def _story(story: cases.CaseStory) -> None:
    case = item = story.case
    facts = [
        ("object", item.object_id),
        ("detail", item.detail),
        ("next step", item.next_step),
        ("group", case.group),
        ("owner", case.owner.value),
        ("whose", item.assignee or "nobody's"),
        ("priority", case.priority.value),
        ("due", f"{case.due_at.isoformat()}{', overdue' if case.overdue else ''}"),
        ("runbook", case.runbook),
        ("resolved", f"{item.resolved_at}: {item.resolution}" if item.resolved_at else "no"),
    ]
    print_table(f"Exception {item.id}: {item.code}", ("", ""), facts, empty="")
    notes = [(n.written_at, n.written_by, n.body) for n in story.notes]
    print_table("Notes", ("at", "by", "note"), notes, empty="none")
    asked = [(r.id, r.kind, r.state, r.requested_by, r.reason) for r in story.requests]
    print_table("Requests", ("request", "kind", "state", "by", "why"), asked, empty="none")


def _difference(seen: replays.Replay) -> None:
    rows = [
        (
            f"{c.legal_entity} {c.service_month}",
            c.contract_id,
            c.effect_type,
            ", ".join(c.actions),
            c.before,
            c.after,
            c.difference,
            c.currency,
        )
        for c in seen.changes
    ]
    columns = ("partition", "contract", "effect", "does", "before", "after", "difference", "")
    print_table(f"Replay {seen.request}", columns, rows, empty="nothing would change")
    held = [(h.effect_type, h.code, h.items, h.detail) for h in seen.held]
    print_table("Still held", ("effect", "code", "items", "why"), held, empty="nothing")
    for waits in seen.awaiting:
        stdout.print(f"Needs an approval first: {waits}.", highlight=False)
    if seen.left:
        stdout.print(f"{seen.left} items are left to another replay.", highlight=False)


def _told(done: Done) -> None:
    if done.request is not None:
        stdout.print(
            f"Request {done.request} waits for somebody else: `psa-erp exceptions approve {done.request}`.",
            highlight=False,
        )
    else:
        stdout.print(f"Done for {len(done.items)}.", highlight=False)
    for refused in done.refused:
        stdout.print(f"Exception {refused.item_id} was left as it is: {refused.why}.", highlight=False)
    if done.left:
        stdout.print(f"{done.left} of the group are left: run it again.", highlight=False)
